package cli_test

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// Of two undos of one run at the same time one does it. The other ends with the exit code of what can't be done, and says which one is under way,
// or it comes later and finds nothing to do.
func TestTheLoserOfTwoUndosIsToldWhoWon(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	do := func(args ...string) (int, string) {
		var out bytes.Buffer
		app := &cli.App{Name: "app", Config: rikki.Config{Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: db.Name() + "_history"}}
		code := cli.Run(t.Context(), app, args, cli.Stdio{Out: &out, Err: &out})
		return code, out.String()
	}
	var docs []any
	for i := range 200 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}})
	}
	if _, err := db.Collection("things").InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	for lost := 0; lost == 0; { // they meet sooner or later
		code, out := do("backfill", "--collection=things", `--update={"$set": {"n": 1}}`)
		run := regexp.MustCompile(`r_[0-9a-z]+`).FindString(out)
		if code != 0 || run == "" {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		var mu sync.Mutex
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				code, out := do("runs", "undo", run, "--chunk=5", "--workers=1")
				mu.Lock()
				defer mu.Unlock()
				if code == 0 {
					return
				}
				lost++
				words := regexp.MustCompile("another undo of " + run + `, r_[0-9a-z]+, is (running|queued); (wait for it|resume or cancel it)`)
				if code != cli.ExitUsage || !words.MatchString(strings.Join(strings.Fields(out), " ")) {
					t.Errorf("exit code %d\n%s", code, out)
				}
			})
		}
		both.Wait()
		if lost > 1 {
			t.Error("both gave way")
		}
		if n, err := db.Collection("things").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n != 0 {
			t.Errorf("%d documents are not restored (%v)", n, err)
		}
	}
}
