package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/cli"
)

// An account that lacks a right for a backfill changes nothing, and is told which collection it may not write.
func TestABackfillWithoutTheRights(t *testing.T) {
	t.Parallel()
	at := withAccounts(t)
	at.run(t, "rikkiRunner", 0, "run", "plant")
	before := at.customers(t)
	role := func(name, db string) bson.D { return bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}} }
	for user, c := range map[string]struct {
		roles bson.A
		want  string
	}{
		"readsOnly":       {bson.A{role("read", "shop"), role("readWrite", "rikki")}, "not authorized on shop to execute command"},
		"withoutHistory":  {bson.A{role("readWrite", "shop")}, "keeps its place in the history's database rikki, and did not begin"},
		"historyReadOnly": {bson.A{role("readWrite", "shop"), role("read", "rikki")}, "keeps its place in the history's database rikki, and did not begin"},
	} {
		command(t, at.as("root"), bson.D{{Key: "createUser", Value: user}, {Key: "pwd", Value: "pw"}, {Key: "roles", Value: c.roles}})
		out := at.run(t, user, cli.ExitDenied, "run", "lower")
		if !strings.Contains(out, c.want) || !strings.Contains(out, "docs/features/permissions.md") {
			t.Errorf("%s: not told %q and what to do:\n%s", user, c.want, out)
		}
		for _, no := range []string{"txnNumber", "--no-history", "the server refuses the filter"} { // the whole command; what a backfill can't do
			if strings.Contains(out, no) {
				t.Errorf("%s: told of %s:\n%s", user, no, out)
			}
		}
		if user == "readsOnly" { // a dry run takes the right to write, too: the server takes back what it changes
			at.run(t, user, cli.ExitDenied, "run", "lower", "--dry-run")
			continue
		}
		if out, err := at.program(t, user, "run", "lower", "--dry-run").CombinedOutput(); err != nil {
			t.Errorf("%s: a dry run writes nothing, and ended with %v:\n%s", user, err, out)
		}
	}
	if after := at.customers(t); !bytes.Equal(after, before) || len(after) == 0 {
		t.Errorf("documents have changed:\n%s\n%s", before, after)
	}
	// Negative control: the same judge sees a run with the rights.
	at.run(t, "rikkiRunner", 0, "run", "lower")
	if bytes.Equal(at.customers(t), before) {
		t.Error("a run has changed every document and nobody noticed")
	}
}

// An account that lacks a right for an undo is told so, in whatever way it asks, and takes nothing back.
func TestAnUndoWithoutTheRights(t *testing.T) {
	t.Parallel()
	at := withAccounts(t)
	at.run(t, "rikkiRunner", 0, "run", "plant")
	at.run(t, "rikkiRunner", 0, "run", "lower")
	run := regexp.MustCompile(`r_[0-9a-z]+`).FindString(at.run(t, "rikkiRunner", 0, "runs", "list", "--limit=1"))
	before := at.customers(t)
	role := func(name, db string) bson.D { return bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}} }
	for user, roles := range map[string]bson.A{
		"readsOnly":       {role("read", "shop"), role("readWrite", "rikki")},
		"historyReadOnly": {role("readWrite", "shop"), role("read", "rikki")},
	} {
		command(t, at.as("root"), bson.D{{Key: "createUser", Value: user}, {Key: "pwd", Value: "pw"}, {Key: "roles", Value: roles}})
		for _, flag := range []string{"--journal=changed", "--dry-run", "--queue", "--json"} {
			if user == "readsOnly" && flag == "--queue" || user == "historyReadOnly" && flag == "--dry-run" {
				continue // another account undoes it; nothing is written
			}
			out, err := at.program(t, user, "runs", "undo", run, flag).CombinedOutput()
			if want := fmt.Sprintf("exit status %d", cli.ExitDenied); err == nil || err.Error() != want {
				t.Errorf("%s: runs undo %s ended with %v, want %s:\n%s", user, flag, err, want, out)
			}
			for _, want := range []string{"MongoDB did not permit this", "docs/features/permissions.md"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%s: runs undo %s: %q is not in\n%s", user, flag, want, out)
				}
			}
		}
	}
	if !bytes.Equal(at.customers(t), before) {
		t.Error("documents have changed")
	}
	at.run(t, "rikkiRunner", 0, "runs", "undo", run)
	if bytes.Equal(at.customers(t), before) {
		t.Error("an undo with the rights has changed nothing")
	}
}

// A right that is taken away in the middle pauses the run: it says which, and goes on at its cursors once it is given again.
func TestARightThatIsRevokedPausesTheRun(t *testing.T) {
	t.Parallel()
	at := withAccounts(t)
	at.run(t, "rikkiRunner", 0, "run", "plant")
	role := func(name, db string) bson.D { return bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}} }
	allow := func(on string) {
		command(t, at.as("root"), bson.D{{Key: "updateUser", Value: "clerk"}, {Key: "roles", Value: bson.A{role(on, "shop"), role("readWrite", "rikki")}}})
	}
	command(t, at.as("root"), bson.D{{Key: "createUser", Value: "clerk"}, {Key: "pwd", Value: "pw"}, {Key: "roles", Value: bson.A{}}})
	allow("readWrite")
	dir := t.TempDir()
	begun, until := filepath.Join(dir, "begun"), filepath.Join(dir, "until")
	ended := make(chan string, 1)
	cmd := at.program(t, "clerk", "run", "lower", "--wait-at=17", "--begun="+begun, "--until="+until)
	go func() {
		out, err := cmd.CombinedOutput()
		ended <- fmt.Sprintf("%v\n%s", err, out)
	}()
	for _, err := os.Stat(begun); err != nil; _, err = os.Stat(begun) {
		select {
		case out := <-ended:
			t.Fatalf("it ended before: %s", out)
		default:
			runtime.Gosched()
		}
	}
	allow("read")
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := <-ended
	for _, want := range []string{"exit status 4", "the account lacks a right", "runs resume", "docs/features/permissions.md"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if again, err := at.program(t, "clerk", "runs", "resume", "last").CombinedOutput(); err == nil || err.Error() != "exit status 4" {
		t.Errorf("resumed without the right, it ended with %v:\n%s", err, again)
	}
	allow("readWrite")
	at.run(t, "clerk", 0, "runs", "resume", "last")
	if docs := at.customers(t); len(docs) == 0 || bytes.Contains(docs, []byte("Example.COM")) {
		t.Errorf("not all are done: %q", docs)
	}
}

// customers are all bytes of them.
func (a accounts) customers(t *testing.T) (all []byte) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(a.as("root")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	cur, err := client.Database("shop").Collection("customers").Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		all = append(all, doc...)
	}
	return all
}
