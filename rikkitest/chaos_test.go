package rikkitest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// tally adds one to each document, and to a total of its group.
type tally struct{}

func (*tally) Backfill() backfill.Options { return backfill.Options{Collection: "things", Chunk: 20} }

func (*tally) Change(_ context.Context, doc struct {
	Group int `bson:"group"`
},
) (backfill.Change, error) {
	one := bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}
	return backfill.Update(one).AlsoUpdate("groups", doc.Group, one), nil
}

func seedThings(ctx context.Context, db *mongo.Database) error {
	var docs []any
	for i := range 2000 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "group", Value: i % 7}})
	}
	var groups []any
	for i := range 7 {
		groups = append(groups, bson.D{{Key: "_id", Value: i}, {Key: "name", Value: fmt.Sprint("group ", i)}})
	}
	if _, err := db.Collection("groups").InsertMany(ctx, groups); err != nil {
		return err
	}
	_, err := db.Collection("things").InsertMany(ctx, docs)
	return err
}

// A backfill survives kills at random moments: in the end every document was counted once, and every group as often as it has
// documents.
func TestChaos(t *testing.T) {
	t.Parallel()
	rikkitest.Chaos(t, backfill.New[struct {
		Group int `bson:"group"`
	}](&tally{}), rikkitest.ChaosOptions{Seed: seedThings, Kills: 6})
}

// leaky counts beside the transaction of its chunk, so a chunk that is done again is counted again.
type leaky struct{ client *mongo.Client }

func (*leaky) Backfill() backfill.Options { return backfill.Options{Collection: "things", Chunk: 50} }

// Setup connects by itself, as no script should.
func (l *leaky) Setup(_ context.Context, run *rikki.Run) error {
	l.client = run.Client()
	return nil
}

func (l *leaky) Change(ctx context.Context, doc struct {
	ID    int `bson:"_id"`
	Group int `bson:"group"`
},
) (backfill.Change, error) {
	groups := l.client.Database(backfill.DB(ctx).Name()).Collection("groups")
	_, err := groups.UpdateByID(mongo.NewSessionContext(ctx, nil), doc.Group, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
	return backfill.Set("seen", true), err
}

const leakyEnv = "RIKKITEST_LEAKY"

// The test that must fail, for the one below.
func TestChaosOfALeakyScript(t *testing.T) {
	if os.Getenv(leakyEnv) == "" {
		t.Skip("part of TestChaosCatchesAnEffectBesideTheTransaction")
	}
	rikkitest.Chaos(t, backfill.New[struct {
		ID    int `bson:"_id"`
		Group int `bson:"group"`
	}](&leaky{}), rikkitest.ChaosOptions{Seed: seedThings, Kills: 15})
}

func TestChaosCatchesAnEffectBesideTheTransaction(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChaosOfALeakyScript$", "-test.v")
	cmd.Env = append(os.Environ(), leakyEnv+"=1", "RIKKI_TEST_URI="+rikkitest.URI(t))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "groups: undisturbed it is") {
		t.Errorf("the leak was not noticed: %v\n%s", err, out)
	}
}
