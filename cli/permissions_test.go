package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// accounts are those of a server that demands a login, one for each role of docs/features/permissions.md.
type accounts struct {
	uri string // without credentials
}

const permissionsDoc = "../docs/features/permissions.md"

// withAccounts starts a replica set that demands a login.
func withAccounts(t *testing.T) accounts {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("Rikki", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	server := mongotest.Dedicated(t, &embedded.Options{Args: []string{"--keyFile", key}})
	at := accounts{uri: server.URI()}
	command(t, at.uri, bson.D{ // the server lets the first account in from its own machine
		{Key: "createUser", Value: "root"}, {Key: "pwd", Value: "pw"}, {Key: "roles", Value: bson.A{"root"}},
	})
	page, err := os.ReadFile(permissionsDoc)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d roles in %s, want 3", len(blocks), permissionsDoc)
	}
	for _, block := range blocks {
		var role bson.D
		if err := bson.UnmarshalExtJSON(block[1], false, &role); err != nil {
			t.Fatalf("%s: %v", permissionsDoc, err)
		}
		name := role[0].Value
		command(t, at.as("root"), role)
		command(t, at.as("root"), bson.D{{Key: "createUser", Value: name}, {Key: "pwd", Value: "pw"}, {Key: "roles", Value: bson.A{name}}})
	}
	return at
}

func (a accounts) as(user string) string {
	return strings.NewReplacer("mongodb://", "mongodb://"+user+":pw@", "/?", "/shop?authSource=admin&").Replace(a.uri)
}

func command(t *testing.T, uri string, doc bson.D) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	if err := client.Database("admin").RunCommand(t.Context(), doc).Err(); err != nil {
		t.Fatalf("%s: %v", doc[0].Key, err)
	}
}

// run is what an account sees of a command, which must end with a code.
func (a accounts) run(t *testing.T, user string, code int, args ...string) string {
	t.Helper()
	cmd := a.program(t, user, args...)
	out, err := cmd.CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	denied := strings.Contains(string(out), "not authorized") || strings.Contains(string(out), "no access")
	if got != code || denied != (code == cli.ExitDenied) {
		t.Errorf("%s: %s ended with exit code %d, want %d:\n%s", user, strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

func (a accounts) program(t *testing.T, user string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Args[0] = "shop"
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "MONGODB_URI=" + a.as(user), "DEMO_HISTORY=rikki"}
	return cmd
}

// Everything that Rikki does works with the roles that the docs give, and no role can do what it shall not.
func TestTheRolesOfTheDocsAreEnough(t *testing.T) {
	t.Parallel()
	at := withAccounts(t)
	const runner, operator, viewer = "rikkiRunner", "rikkiOperator", "rikkiViewer"
	id := regexp.MustCompile(`r_[0-9a-z]+`)

	at.run(t, runner, 0, "run", "plant")
	at.run(t, runner, 0, "run", "touch", "--id=3", "--dry-run")
	at.run(t, runner, 0, "run", "lower", "--dry-run")
	at.run(t, runner, 0, "run", "lower")
	at.run(t, runner, 0, "runs", "undo", "last")
	at.run(t, runner, 0, "runs", "undo", "last", "--dry-run") // of the undo
	at.run(t, runner, cli.ExitPartly, "run", "lower", "--fail-at=7")
	at.run(t, runner, 0, "runs", "failures", "last")
	at.run(t, runner, 0, "batch", "touch", "lower")
	at.run(t, runner, 0, "exec", "--", "true")
	at.run(t, runner, 0, "schedule", "add", "often", "touch", "--every=1s", "--yes")
	at.run(t, runner, 0, "doctor")

	queued := id.FindString(at.run(t, operator, 0, "run", "touch", "--queue"))
	at.run(t, operator, 0, "schedule", "pause", "often")
	at.run(t, operator, 0, "schedule", "resume", "often")
	triggered := id.FindString(at.run(t, operator, 0, "schedule", "trigger", "often"))
	serve := at.program(t, runner, "serve", "--listen=")
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{queued, triggered} {
		within(t, "run "+run+" succeeds", func() bool {
			return strings.Contains(at.run(t, viewer, 0, "runs", "show", run), "succeeded")
		})
	}
	held := id.FindString(at.run(t, operator, 0, "run", "touch", "--queue", "--at=+2h"))
	at.run(t, operator, 0, "runs", "cancel", held, "--reason=wrong")
	if err := errors.Join(serve.Process.Signal(os.Interrupt), serve.Wait()); err != nil {
		t.Error("serve:", err)
	}

	for _, args := range [][]string{
		{"runs", "list"},
		{"runs", "show", "last"},
		{"runs", "logs", "last"},
		{"runs", "failures", "last"},
		{"schedule", "list"},
		{"schedule", "show", "often"},
		{"schedule", "next", "often"},
		{"status"},
	} {
		at.run(t, viewer, 0, args...)
	}
	for _, args := range [][]string{
		{"runs", "cancel", held}, {"run", "plant", "--queue"}, {"schedule", "pause", "often"}, {"runs", "prune", "--keep=0", "--yes"},
	} {
		at.run(t, viewer, cli.ExitDenied, args...)
	}
	at.run(t, operator, cli.ExitDenied, "runs", "prune", "--keep=0", "--yes")

	// Runs go, and what people did to them stays.
	at.run(t, runner, 0, "runs", "prune", "--keep=0", "--yes")
	client, err := mongo.Connect(options.Client().ApplyURI(at.as("root")).SetTimeout(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	history := client.Database("rikki")
	left, err := history.Collection("runs").CountDocuments(t.Context(), bson.D{{Key: "_id", Value: held}})
	if err != nil || left != 0 {
		t.Errorf("%d runs with the ID %s are left, %v", left, held, err)
	}
	kept, err := history.Collection("audit").CountDocuments(t.Context(), bson.D{{Key: "run", Value: held}, {Key: "reason", Value: "wrong"}})
	if err != nil || kept != 1 {
		t.Errorf("%d entries of the audit log are left of the run, want 1; %v", kept, err)
	}
}
