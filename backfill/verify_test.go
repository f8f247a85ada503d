package backfill_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// The verification looks at every document again, however large they are, and counts those that would change again.
func TestVerifyAgainCountsEveryDocument(t *testing.T) {
	t.Parallel()
	opts := backfill.Options{Collection: "things", VerifyAgain: true}
	lower := func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		return backfill.Set("v", strings.ToLower(doc.Lookup("v").StringValue())), nil
	}
	longer := func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		return backfill.Set("v", doc.Lookup("v").StringValue()+"x"), nil
	}
	for name, c := range map[string]struct {
		script rikki.Script
		left   int64
	}{
		"function":       {function(opts, lower), 0},
		"never done":     {function(opts, longer), 1500},
		"pipeline":       {pipeline(opts, set("v", bson.D{{Key: "$toLower", Value: "$v"}})), 0},
		"never done too": {pipeline(opts, set("v", bson.D{{Key: "$concat", Value: bson.A{"$v", "x"}}})), 1500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			var docs []any
			for i := range 1500 {
				docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "v", Value: strings.Repeat("X", 4<<10)}})
			}
			insert(t, db.Collection("things"), docs...)
			s, err := summary(t, db, c.script, nil)
			if v := s.Verified; v == nil || v.Checked != 1500 || v.Left != c.left {
				t.Errorf("verified %+v, error %v", s.Verified, err)
			}
		})
	}
}

// A page of which the stages leave nothing is not the end.
func TestVerifyGoesOnBehindWhatTheStagesLeaveOut(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 12_000)
	opts := backfill.Options{Collection: "things", Workers: 1, VerifyAgain: true, Stages: mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: 11_900}}}}}},
	}}
	s, err := summary(t, db, function(opts, increment), nil)
	if v := s.Verified; s.Changed != 100 || v == nil || v.Checked != 100 || v.Left != 100 {
		t.Errorf("%+v, verified %+v, error %v", s, s.Verified, err)
	}
}

// What failed is known already, and must not hide what was done and would change again.
func TestVerifyFindsWhatIsLeftBesideFailures(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 5)
	opts := backfill.Options{Collection: "things", VerifyAgain: true}
	s, _ := summary(t, db, function(opts, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if n, _ := doc.Lookup("_id").AsInt64OK(); n < 2 {
			return backfill.None(), errors.New("no")
		}
		return increment(ctx, doc)
	}), nil)
	if v := s.Verified; s.Failed != 2 || v == nil || v.Checked != 5 || v.Left != 3 {
		t.Errorf("%d failed, verified %+v: want 2 failed and 3 left", s.Failed, s.Verified)
	}
}

// closing is a backfill whose own throttle closes once all documents are changed.
type closing struct {
	scripted
	closed func() bool
}

func (c *closing) Throttle(context.Context) (time.Duration, string, error) {
	if c.closed() {
		return time.Hour, "the shop is open", nil
	}
	return 0, "", nil
}

// The verification keeps to the pace of the run, and can be stopped while it waits.
func TestVerificationWaitsLikeTheRest(t *testing.T) {
	t.Parallel()
	const docs = 200
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, docs)
	script := &closing{scripted: scripted{backfill.Options{Collection: "things", Script: rikki.Options{Name: "closing"}, VerifyAgain: true}, increment}}
	script.closed = func() bool {
		n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
		return err != nil || n == docs
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](script))
	result, err := app.Run(ctx, "closing", &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
		if e.Type == rikki.EventProgress && strings.Contains(e.Progress.Message, "verifying; waiting: the shop is open") {
			cancel(rikki.ErrCancelled)
		}
	})}})
	if !errors.Is(err, rikki.ErrCancelled) || result.Counters["changed"] != docs {
		t.Errorf("%+v, %v: want all documents changed, and the run cancelled while its verification waited", result, err)
	}
}
