package cli_test

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/mongotest"
)

var update = flag.Bool("update", false, "rewrite the expected output inside the stories")

func upsert() *options.UpdateOneOptionsBuilder { return options.UpdateOne().SetUpsert(true) }

// suite runs the tests proper, after testscript has looked whether this process is one of the programs.
type suite struct{ m *testing.M }

func (s suite) Run() int { return mongotest.Main(s.m) }

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"demo": demo, "shop": shop, "greet": greet, "pocket": pocket, "guarded": guarded, "coded": coded, "hook": hook})
}

// TestStories runs testdata/script/*.txtar: what somebody types, and what they see.
func TestStories(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error { return setUpStory(t, env, uri) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "waitfile": waitFile, "eventually": eventually, "capture": capture,
		},
	})
}

// setUpStory gives each story databases of its own. MONGODB_URI is left to the story: testscript can set a variable,
// not take it away.
func setUpStory(t *testing.T, env *testscript.Env, uri string) error {
	t.Helper()
	name := "story_" + strings.ToLower(rand.Text()[:10])
	history := name + "_history"
	env.Setenv("PLAIN_URI", strings.Replace(uri, "/?", "/"+name+"?", 1))
	env.Setenv("BARE_URI", uri) // without a database
	env.Setenv("DEMO_HISTORY", history)
	env.Setenv("DB", name)
	if cache, err := os.UserCacheDir(); err == nil {
		env.Setenv("XDG_CACHE_HOME", cache) // where the embedded mongod was fetched to
	}
	for _, pass := range []string{"RIKKI_MONGOD", "RIKKI_MONGOD_MIRROR"} {
		env.Setenv(pass, os.Getenv(pass))
	}
	// Files cannot have variables in them.
	for file, content := range map[string]string{
		"uri.txt": env.Getenv("PLAIN_URI") + "\n", "good.env": "MONGO_URI=" + env.Getenv("PLAIN_URI") + "\n",
		"bad.env": "MONGODB_URI=mongodb://127.0.0.1:1/x\n",
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, file), []byte(content), 0o600); err != nil {
			return err
		}
	}
	client := mongotest.Client(t)
	env.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, db := range []string{name, history} {
			if err := client.Database(db).Drop(ctx); err != nil {
				t.Error("drop the story's database:", err)
			}
		}
	})
	return nil
}

// exits CODE COMMAND… runs a command and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with exit code %d, not %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// storyPatience is for what happens in other processes, on a machine that may be busy.
const storyPatience = time.Minute

// waitFile PATH waits until the file is there.
func waitFile(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	poll(ts, "no "+args[0], func() bool { _, err := os.Stat(path); return err == nil })
}

// eventually PATTERN COMMAND… runs a command again and again until its output matches.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	poll(ts, "no "+args[0], func() bool {
		return ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

func poll(ts *testscript.TestScript, what string, done func() bool) {
	deadline := time.Now().Add(storyPatience)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		if time.Now().After(deadline) {
			ts.Fatalf("%s within %s", what, storyPatience)
		}
		<-ticker.C
	}
}

// capture NAME PATTERN puts what the pattern's group matched in the last output into a variable.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if len(found) < 2 {
		ts.Fatalf("nothing matches %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}
