//go:build unix

package rikki_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// execBundle runs commands in a database of the test's own.
type execBundle struct {
	db  *mongo.Database
	app *rikki.App
}

func setUpExec(t *testing.T, commands ...rikki.Script) execBundle {
	t.Helper()
	db := rikkitest.DB(t)
	return execBundle{db, rikkitest.App(t, db, commands...)}
}

// sh is a command that runs a shell script.
func sh(script string) *rikki.Command { return rikki.Exec("old", "sh", "-c", script, "old.sh") }

// logged returns what the history has of a run's log, as "LEVEL message".
func logged(t *testing.T, app *rikki.App, run string) []string {
	t.Helper()
	var lines []string
	for record, err := range app.Logs(t.Context(), run, rikki.LogFilter{Limit: 10_000, MinLevel: slog.LevelDebug}) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, record.Level+" "+record.Message)
	}
	return lines
}

func mustContain(t *testing.T, lines []string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(lines, w) {
			t.Errorf("%q is not among\n%s", w, strings.Join(lines[:min(len(lines), 40)], "\n"))
		}
	}
}

// needs skips the test where a program is missing, and fails where none may be.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		lacking(t, err)
	}
}

func lacking(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("needed for this test: ", err)
	}
	t.Skip("needed for this test: ", err)
}

func TestExec(t *testing.T) {
	t.Parallel()

	t.Run("AShellScriptLeavesItsOutputProgressAndResult", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, sh(`
			echo "run $RIKKI_RUN_ID of $RIKKI_SCRIPT"
			echo "uri $MONGODB_URI"
			test "$MONGODB_URI" = "$MONGO_URI" || exit 9
			echo "careful" >&2
			echo "progress 3/10 half of it"
			echo '{"not":"the last"}'
			echo '{"fixed": 9007199254740993}'`))
		result, err := b.app.Run(t.Context(), "old", nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := logged(t, b.app, result.Run)
		mustContain(t, lines, "INFO run "+result.Run+" of old", "WARN careful", `INFO {"not":"the last"}`)
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "INFO uri ") }); i < 0 || !strings.Contains(lines[i], "/"+b.db.Name()) {
			t.Errorf("the program's address does not name the run's database:\n%s", strings.Join(lines, "\n"))
		}
		if got := result.Progress; got == nil || got.Done != 3 || got.Total != 10 || got.Message != "half of it" {
			t.Errorf("progress %+v", got)
		}
		record, err := b.app.Record(t.Context(), result.Run)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(`{"fixed":9007199254740993}`, string(record.Result)); diff != "" {
			t.Error(diff)
		}
		if len(record.Findings) != 1 || record.Findings[0].Level != rikki.LevelWarning || !strings.Contains(record.Findings[0].Message, "docs/features/exec.md#migrate") {
			t.Errorf("findings %+v; want the warning that says how to migrate", record.Findings)
		}
	})

	t.Run("TheExitCodeDecides", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, sh(`echo "Error: no such collection" >&2; echo "  at line 3" >&2; exit 3`))
		result, err := b.app.Run(t.Context(), "old", nil)
		var exited *exec.ExitError
		if !errors.As(err, &exited) || exited.ExitCode() != 3 {
			t.Fatalf("error %v; want exit code 3", err)
		}
		record, err := b.app.Record(t.Context(), result.Run)
		if err != nil {
			t.Fatal(err)
		}
		if want := "sh ended with exit status 3: Error: no such collection"; record.State != rikki.Failed || record.Error.Message != want {
			t.Errorf("the history has %s, %+v; want it failed with %q", record.State, record.Error, want)
		}
	})

	t.Run("NodeRunsAsItIs", func(t *testing.T) {
		t.Parallel()
		needs(t, "node")
		file := filepath.Join(t.TempDir(), "old.js")
		writeFile(t, file, `
			for (let i = 1; i <= 4; i++) console.log("progress " + i * 25 + "%");
			console.error("deprecated");
			console.log(JSON.stringify({ database: new URL(process.env.MONGODB_URI.replace("mongodb:", "http:")).pathname.slice(1), args: process.argv.slice(2) }));
			if (process.argv[2] === "fail") throw new TypeError("x is not a function");`)
		good, bad := rikki.Exec("good", "node", file, "$HOME", "a b"), rikki.Exec("bad", "node", file, "fail")
		b := setUpExec(t, good, bad)
		result, err := b.app.Run(t.Context(), "good", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"database":"` + b.db.Name() + `","args":["$HOME","a b"]}`
		if got, _ := json.Marshal(result.Value); string(got) != want || result.Progress.Done != 100 {
			t.Errorf("result %s, progress %+v; want %s and 100 %%", got, result.Progress, want)
		}
		if _, err = b.app.Run(t.Context(), "bad", nil); err == nil || !strings.Contains(err.Error(), "TypeError: x is not a function") {
			t.Errorf("error %v; want what Node said", err)
		}
	})

	t.Run("WhatItCannotRunIsToldBeforeAnythingStarts", func(t *testing.T) {
		t.Parallel()
		none, missing := rikki.Exec("none"), rikki.Exec("missing", "no-such-program-anywhere")
		secret := rikki.Exec("secret", "sh", "-c", "true", "--uri=mongodb://u:geheim@h/x")
		env := rikki.Exec("env", "sh", "-c", "true")
		env.Env = []string{"MONGODB_URI=mongodb://elsewhere/x", "=1"}
		b := setUpExec(t, none, missing, secret, env)
		for name, want := range map[string]string{
			"none": "no program to run", "missing": "cannot find the program no-such-program-anywhere",
			"secret": "has a password in it", "env": "MONGODB_URI is set for the program",
		} {
			var invalid *rikki.ValidationError
			_, err := b.app.Run(t.Context(), name, nil)
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s: error %v; want %q", name, err, want)
			}
		}
	})

	t.Run("ADryRunIsRefused", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "ran")
		b := setUpExec(t, rikki.Exec("old", "touch", file))
		_, err := b.app.Run(t.Context(), "old", &rikki.RunOptions{DryRun: true})
		if _, statErr := os.Stat(file); err == nil || !errors.Is(statErr, os.ErrNotExist) {
			t.Errorf("error %v, and the program left its file (%v); want that it never ran", err, statErr)
		}
	})

	t.Run("OnlyTheApprovedFileRuns", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		file := filepath.Join(dir, "scripts", "old.sh")
		writeFile(t, file, "echo hello")
		outside, link := filepath.Join(dir, "outside.sh"), filepath.Join(dir, "scripts", "link.sh")
		writeFile(t, outside, "echo hello")
		if err := os.Symlink(outside, link); err != nil {
			t.Fatal(err)
		}
		command := func(name, file, sum string) *rikki.Command {
			c := rikki.Exec(name, "sh", file)
			c.Root, c.SHA256 = filepath.Dir(link), sum
			return c
		}
		const approved = "0FD0426E9E5A01EF9C5F4FB5D4E3DC26E1BF9DD2C9C2F03F3ADE21ED1AA35C1E"
		b := setUpExec(t, command("linked", link, ""), command("changed", file, approved), command("fine", file, ""))
		if _, err := b.app.Run(t.Context(), "linked", nil); err == nil || !strings.Contains(err.Error(), "is not below") {
			t.Errorf("a link out of the directory: error %v", err)
		}
		if _, err := b.app.Run(t.Context(), "changed", nil); err == nil || !strings.Contains(err.Error(), "was changed") {
			t.Errorf("another hash: error %v", err)
		}
		if _, err := b.app.Run(t.Context(), "fine", nil); err != nil {
			t.Error(err)
		}
	})
}

func TestExecEnvironment(t *testing.T) {
	t.Setenv("EXEC_TEST_TOKEN", "inherited")
	t.Setenv("MONGO_URI", "mongodb://elsewhere.invalid/x")

	closed, named, all := sh("env"), sh("env"), sh("env")
	closed.Name, named.Name, all.Name = "closed", "named", "all"
	closed.URIEnv = []string{"DATABASE_URL"}
	named.Env = []string{"EXEC_TEST_TOKEN", "EXEC_TEST_MORE=a=b", "EXEC_TEST_UNSET"}
	all.Env = []string{"*"}
	b := setUpExec(t, closed, named, all)
	environ := func(name string) map[string]string {
		result, err := b.app.Run(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		env := map[string]string{}
		for _, line := range logged(t, b.app, result.Run) {
			if key, value, ok := strings.Cut(strings.TrimPrefix(line, "INFO "), "="); ok {
				env[key] = value
			}
		}
		return env
	}

	got := environ("closed")
	if _, ok := got["EXEC_TEST_TOKEN"]; ok || got["PATH"] == "" {
		t.Errorf("by default the program gets %v", got)
	}
	if got["DATABASE_URL"] != got["MONGODB_URI"] || got["MONGO_URI"] != got["MONGODB_URI"] || got["MONGO_URI"] == "" {
		t.Errorf("the addresses differ: %v", got)
	}
	if _, err := os.Stat(got["TMPDIR"]); got["TMPDIR"] == os.TempDir() || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("TMPDIR %q is not the program's own, or is still there (%v)", got["TMPDIR"], err)
	}
	got = environ("named")
	if _, ok := got["EXEC_TEST_UNSET"]; ok || got["EXEC_TEST_TOKEN"] != "inherited" || got["EXEC_TEST_MORE"] != "a=b" {
		t.Errorf("with names the program gets %v", got)
	}
	got = environ("all")
	if got["EXEC_TEST_TOKEN"] != "inherited" || got["MONGO_URI"] != got["MONGODB_URI"] {
		t.Errorf("with * the program gets %v", got)
	}
}

func TestExecOutput(t *testing.T) {
	t.Parallel()

	t.Run("AFloodIsCutAndMarkedAndLeavesRoomForErrors", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, sh(`yes "the quick brown fox jumps over the lazy dog" | head -n 2272727; echo "the end" >&2; echo '{"ok":true}'`))
		result, err := b.app.Run(t.Context(), "old", nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := logged(t, b.app, result.Run)
		mustContain(t, lines, "WARN the end", "WARN the program prints too much: from here on its standard output is only counted",
			"WARN the program printed more than is kept")
		if len(lines) > 8_100 {
			t.Errorf("%d records are kept", len(lines))
		}
		if got, _ := json.Marshal(result.Value); string(got) != `{"ok":true}` {
			t.Errorf("result %s", got)
		}
	})

	t.Run("ControlCharactersAndBinaryAreHarmless", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, sh(`printf '\033[31mred\033[0m \033]0;title\007\377\000done\n'; printf '10%%\r20%%\rfinished\n'; head -c 2000000 /dev/zero | tr '\0' x`))
		result, err := b.app.Run(t.Context(), "old", nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := logged(t, b.app, result.Run)
		mustContain(t, lines, "INFO red \ufffddone", "INFO finished")
		long := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "INFO xxx") })
		if long < 0 || len(lines[long]) > 9_000 || !strings.HasSuffix(lines[long], "(2000000 bytes in all)") {
			t.Errorf("the long line is missing or not cut: %d", long)
		}
	})

	t.Run("ThePasswordIsInTheEnvironmentOnly", func(t *testing.T) {
		t.Parallel()
		db, password := rikkitest.DB(t), "pw@"+rand.Text()[:12]
		createOldUser(t, db, password)
		uri := "mongodb://old:" + strings.ReplaceAll(password, "@", "%40") + "@" + strings.TrimPrefix(rikkitest.URI(t), "mongodb://")
		uri = strings.Replace(uri, "/?", "/"+db.Name()+"?", 1)
		app := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri}, NoHistory: true}).MustAdd(sh(`
			tr '\0' ' ' </proc/$$/cmdline 2>/dev/null
			pad=$(head -c 8185 /dev/zero | tr '\0' x)
			echo "$pad$MONGODB_URI"
			echo "$MONGODB_URI" >&2
			printf '{"uri":"%s"}\n' "$MONGODB_URI"`))
		t.Cleanup(func() { closeApp(t, app) })
		var seen []string
		result, err := app.Run(t.Context(), "old", &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
			if e.Type == rikki.EventLog {
				seen = append(seen, e.Log.Message+string(e.Log.Attrs))
			}
		})}})
		if err != nil {
			t.Fatal(err)
		}
		value, _ := json.Marshal(result.Value)
		all := strings.Join(append(seen, string(value)), "\n")
		for _, secret := range []string{password, strings.ReplaceAll(password, "@", "%40"), password[3:8]} {
			if strings.Contains(all, secret) {
				t.Errorf("%q is shown in\n%s", secret, all)
			}
		}
		if !strings.Contains(all, "mongodb://***@") {
			t.Errorf("the program did not get the address:\n%s", all)
		}
	})
}

// createOldUser makes a user; a server without access control accepts its login too.
func createOldUser(t *testing.T, db *mongo.Database, password string) {
	t.Helper()
	err := db.RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: "old"}, {Key: "pwd", Value: password}, {Key: "roles", Value: bson.A{"readWrite"}},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.RunCommand(context.Background(), bson.D{{Key: "dropUser", Value: "old"}}).Err(); err != nil {
			t.Error(err)
		}
	})
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// stopOnce runs the command, stops it when it has printed its first line, and returns that line.
func stopOnce(t *testing.T, app *rikki.App, cause error) (first string, result *rikki.Result, took time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var began time.Time
	result, err = app.Run(ctx, "old", &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
		if text, ok := strings.CutPrefix(logText(e), "ready "); ok {
			first, began = text, time.Now()
			cancel(cause)
		}
	})}})
	return first, result, time.Since(began), err
}

func logText(e rikki.Event) string {
	if e.Type != rikki.EventLog {
		return ""
	}
	return e.Log.Message
}

func TestExecStop(t *testing.T) {
	t.Parallel()
	const goneWithin = 30 * time.Second // none of them would ever end; by itself it takes a third of a second

	for name, script := range map[string]string{
		"AProgramThatIgnoresSIGTERM":         `trap '' TERM; echo ready $$; while :; do sleep 0.1; done`,
		"AGrandchildThatHoldsThePipe":        `sh -c 'trap "" TERM; echo ready $$; while :; do sleep 0.1; done' & wait`,
		"AProgramThatFailsWhenItIsAsked":     `trap 'exit 7' TERM; echo ready $$; while :; do sleep 0.1; done`,
		"AGrandchildThatOutlivesItsProgram":  `trap 'exit 0' TERM; sh -c 'trap "" TERM; echo ready $$; while :; do sleep 0.1; done' & wait`,
		"AProgramThatPrintsWhileItIsStopped": `trap '' TERM; echo ready $$; while :; do echo more; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sh(script)
			c.KillAfter = 300 * time.Millisecond // leaves a busy machine some of the time
			b := setUpExec(t, c)
			first, result, took, err := stopOnce(t, b.app, rikki.ErrCancelled)
			if !errors.Is(err, rikki.ErrCancelled) || !result.Stopped || result.State != rikki.Cancelled {
				t.Fatalf("result %+v, error %v; want it cancelled and stopped", result, err)
			}
			if took > goneWithin {
				t.Errorf("it took %s", took)
			}
			if pid, err := strconv.Atoi(first); err == nil && living(pid) {
				t.Errorf("process %d still runs", pid)
			}
		})
	}

	t.Run("ATimeoutEndsItToo", func(t *testing.T) {
		t.Parallel()
		c := sh(`trap '' TERM; while :; do sleep 0.1; done`)
		c.Timeout, c.KillAfter = 200*time.Millisecond, 100*time.Millisecond
		b := setUpExec(t, c)
		result, err := b.app.Run(t.Context(), "old", nil)
		if !errors.Is(err, rikki.ErrTimeout) || !result.Stopped {
			t.Errorf("result %+v, error %v; want a timeout, and the program stopped", result, err)
		}
		mustContain(t, logged(t, b.app, result.Run), "DEBUG sh ended")
	})

	t.Run("WhatItLeavesBehindIsEndedWithAWarning", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, sh(`sleep 300 & echo $!`))
		result, err := b.app.Run(t.Context(), "old", nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := logged(t, b.app, result.Run)
		mustContain(t, lines, "WARN the program left processes behind when it ended, and they were ended too")
		for _, line := range lines {
			if pid, err := strconv.Atoi(strings.TrimPrefix(line, "INFO ")); err == nil && living(pid) {
				t.Errorf("process %d still runs", pid)
			}
		}
	})
}

// living tells whether a process runs; a zombie doesn't.
func living(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// mongosh returns the shell's program. It is installed once for all test runs, since that takes half a minute.
func mongosh(t *testing.T) string {
	t.Helper()
	needs(t, "node")
	needs(t, "npm")
	const version = "mongosh@2.12.0"
	cache, err := os.UserCacheDir()
	if err != nil {
		lacking(t, err)
	}
	dir := filepath.Join(cache, "rikki-test", version)
	program := filepath.Join(dir, "node_modules", "mongosh", "bin", "mongosh.js")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	// What is renamed is complete, even when two processes do this at a time.
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "installing-") //nolint:usetesting // it must be on the cache's file system
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(tmp) }() // gone if all went well
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--prefix", tmp, "--no-package-lock", "--no-save", "--no-audit",
		"--no-fund", "--omit=optional", "--ignore-scripts", version)
	if out, err := install.CombinedOutput(); err != nil {
		lacking(t, errors.Join(err, errors.New(string(out))))
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, statErr := os.Stat(program); statErr != nil {
			t.Fatal(err)
		}
	}
	return program
}

func TestExecMongosh(t *testing.T) {
	t.Parallel()
	shell := mongosh(t)
	dir := t.TempDir()
	count, hang := filepath.Join(dir, "count.js"), filepath.Join(dir, "hang.js")
	writeFile(t, count, `db = connect(process.env.MONGODB_URI);
		db.users.insertMany([{ a: 1 }, { a: 2 }]);
		print(JSON.stringify({ users: db.users.countDocuments() }));`)
	writeFile(t, hang, `db = connect(process.env.MONGODB_URI);
		print("ready 0");
		db.users.updateMany({ $where: "sleep(60000) || true" }, { $set: { late: true } });`)

	t.Run("RunsAsItIs", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, rikki.Exec("old", "node", shell, "--nodb", "--quiet", "--norc", count))
		result, err := b.app.Run(t.Context(), "old", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(result.Value); string(got) != `{"users":2}` {
			t.Errorf("result %s", got)
		}
		if n, err := b.db.Collection("users").CountDocuments(t.Context(), bson.D{}); n != 2 || err != nil {
			t.Errorf("%d users, error %v", n, err)
		}
	})

	t.Run("WhatItHasGoingOnAtTheServerIsEnded", func(t *testing.T) {
		t.Parallel()
		b := setUpExec(t, rikki.Exec("old", "node", shell, "--nodb", "--quiet", "--norc", hang))
		if _, err := b.db.Collection("users").InsertOne(t.Context(), bson.D{{Key: "a", Value: 1}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		done := make(chan error, 1)
		go func() {
			_, err := b.app.Run(ctx, "old", nil)
			done <- err
		}()
		waitFor(t, "the shell's update", func() bool { return updates(t, b.db) > 0 })
		cancel(rikki.ErrCancelled)
		if err := <-done; !errors.Is(err, rikki.ErrCancelled) {
			t.Error(err)
		}
		waitFor(t, "the end of the shell's update", func() bool { return updates(t, b.db) == 0 })
	})
}

// updates counts those that are under way on the collection users. The server goes on with one whose client is gone.
func updates(t *testing.T, db *mongo.Database) int {
	t.Helper()
	cursor, err := mongotest.Client(t).Database("admin").Aggregate(t.Context(), mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{}}},
		{{Key: "$match", Value: bson.D{{Key: "ns", Value: db.Name() + ".users"}, {Key: "op", Value: "update"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var ops []bson.D
	if err := cursor.All(t.Context(), &ops); err != nil {
		t.Fatal(err)
	}
	return len(ops)
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline, ticker := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("waited in vain for ", what)
		}
	}
}
