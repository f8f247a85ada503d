//go:build linux

package faults_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/journal"
)

// Marks is a backfill that adds 1 to each document and leaves a mark: both too much and too little are visible.
type Marks struct {
	Coll   string
	Pause  time.Duration // for each document
	Lag    time.Duration
	Blind  bool   // goes on while a member's lag can't be told
	Lookup bool   // reads each document once more, by the connection that all scripts share
	Gate   string // a collection: while it has a document, the run waits

	run *rikki.Run
}

// Backfill implements backfill.Described.
func (m *Marks) Backfill() backfill.Options {
	opts := backfill.Options{Collection: m.Coll, MaxLag: m.Lag, Gentle: backfill.GentleNever, Script: rikki.Options{Name: "marks", Concurrency: -1, Drain: time.Second}}
	if m.Blind {
		opts.Unreadable = backfill.UnreadableIgnore
	}
	return opts
}

// Setup implements rikki.Setupper.
func (m *Marks) Setup(_ context.Context, run *rikki.Run) error {
	m.run = run
	return nil
}

// Throttle implements backfill.Throttler.
func (m *Marks) Throttle(ctx context.Context) (time.Duration, string, error) {
	if m.Gate == "" {
		return 0, "", nil
	}
	n, err := m.run.DB().Collection(m.Gate).CountDocuments(ctx, bson.D{})
	if err != nil || n == 0 {
		return 0, "", err
	}
	return 2 * time.Second, "the gate is closed", nil
}

// Change implements backfill.Changer.
func (m *Marks) Change(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
	if m.Lookup {
		outside := mongo.NewSessionContext(ctx, nil) // the chunk's transaction is another client's
		if err := m.run.DB().Collection(m.Coll).FindOne(outside, bson.D{{Key: "_id", Value: doc.Lookup("_id")}}).Err(); err != nil {
			return backfill.Change{}, rikki.Transient(err)
		}
	}
	if m.Pause > 0 {
		timer := time.NewTimer(m.Pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return backfill.Change{}, context.Cause(ctx)
		}
	}
	return backfill.Update(bson.D{
		{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}},
		{Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Run: m.run.ID(), Token: m.run.Epoch()}}}},
	}), nil
}

// Pipes is the same as a pipeline at the server.
type Pipes struct{ Coll string }

// Backfill implements backfill.Described.
func (p *Pipes) Backfill() backfill.Options {
	return backfill.Options{Collection: p.Coll, Gentle: backfill.GentleNever, Script: rikki.Options{Name: "pipes", Concurrency: -1, Drain: time.Second}}
}

// Pipeline implements backfill.Pipeliner.
func (p *Pipes) Pipeline() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{
		{Key: "n", Value: bson.D{{Key: "$add", Value: bson.A{"$n", 1}}}},
		{Key: "seen", Value: bson.D{{Key: "$concatArrays", Value: bson.A{"$seen", bson.A{bson.D{{Key: "run", Value: "pipeline"}}}}}}},
	}}}}
}

// marks are the parameters of a run of [Marks], for Enqueue.
func marks(coll string, chunk int, more map[string]any) map[string]any {
	p := map[string]any{"coll": coll, "chunk": chunk}
	maps.Copy(p, more)
	return p
}

// audit is a backfill's invariants: I1 and I2 from the documents, the journal, the partitions and the oplog, I3 from the
// oplog.
func (s *scene) audit(t testing.TB, coll *mongo.Collection, run string, n int) {
	t.Helper()
	ctx := t.Context()
	faultrig.ExactlyOnce(t, coll, n)
	if err := s.checkJournal(ctx, run, n); err != nil {
		t.Error(err)
	}
	if err := s.checkPartitions(ctx, run, n); err != nil {
		t.Error(err)
	}
	record, err := s.app.Record(ctx, run)
	if err != nil || record.Counters["changed"] != int64(n) || record.Progress == nil || record.Progress.Done != int64(n) {
		t.Errorf("the history says %+v, %+v, %v; want %d documents", record.Counters, record.Progress, err, n)
	}
}

// checkJournal: each document is in the journal once, and so are the numbers of the chunks of each partition.
func (s *scene) checkJournal(ctx context.Context, run string, n int) error {
	ids, err := s.journaled(ctx, run)
	if err == nil && len(ids) != n {
		err = fmt.Errorf("the journal has %d documents of %d", len(ids), n)
	}
	return err
}

// journaled are the documents that a run has journaled, each of them once.
func (s *scene) journaled(ctx context.Context, run string) (map[string]int, error) {
	cur, err := s.client.Database(s.history()).Collection("journal").Find(ctx, bson.D{{Key: "_id.r", Value: run}})
	if err != nil {
		return nil, err
	}
	defer cur.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	ids, chunks := map[string]int{}, map[string]int{}
	for cur.Next(ctx) {
		doc := bytes.Clone(cur.Current)
		chunks[fmt.Sprint(cur.Current.Lookup("n"), "/", cur.Current.Lookup("c"), "/", cur.Current.Lookup("_id", "p"))]++
		for entry, err := range journal.Decode(doc) {
			if err != nil {
				return nil, err
			}
			ids[entry.ID.String()]++
		}
	}
	if err := cur.Err(); err != nil {
		return nil, err
	}
	for what, counts := range map[string]map[string]int{"document": ids, "chunk": chunks} {
		for key, count := range counts {
			if count != 1 {
				return nil, fmt.Errorf("the journal has %s %s %d times", what, key, count)
			}
		}
	}
	return ids, nil
}

// checkPartitions: they are done, tile the keys, and have counted every document.
func (s *scene) checkPartitions(ctx context.Context, run string, n int) error {
	cur, err := s.client.Database(s.history()).Collection("partitions").Find(ctx,
		bson.D{{Key: "_id.r", Value: run}, {Key: "_id.n", Value: bson.D{{Key: "$gte", Value: 0}}}},
		options.Find().SetSort(bson.D{{Key: "_id.n", Value: 1}}))
	if err != nil {
		return err
	}
	var parts []struct {
		Lower, Upper bson.RawValue
		Done         bool
		Counts       struct{ Matched, Changed int64 }
	}
	if err := cur.All(ctx, &parts); err != nil {
		return err
	}
	matched, changed := int64(0), int64(0)
	for i, p := range parts {
		matched, changed = matched+p.Counts.Matched, changed+p.Counts.Changed
		if !p.Done {
			return fmt.Errorf("partition %d is not done", i)
		}
		if i > 0 && !p.Lower.Equal(parts[i-1].Upper) {
			return fmt.Errorf("partition %d begins at %s, and the one before ends at %s", i, p.Lower, parts[i-1].Upper)
		}
	}
	if len(parts) == 0 || matched != int64(n) || changed != int64(n) {
		return fmt.Errorf("%d partitions have counted %d documents, %d changed; want %d", len(parts), matched, changed, n)
	}
	return nil
}

// checkChunks: in the order of the oplog, the chunks of a partition are counted one by one.
func checkChunks(changes []faultrig.Change) error {
	return faultrig.CheckGrowing(changes, func(c faultrig.Change) (string, bson.RawValue, bool) {
		v, err := c.Description.Updated.LookupErr("chunk")
		return fmt.Sprint(c.Key), v, c.Coll == "partitions" && err == nil
	}, func(a, b bson.RawValue) int {
		if a.AsInt64() == b.AsInt64()+1 {
			return 1
		}
		return -1
	})
}

// hash is over every byte of every document of a collection.
func hash(t testing.TB, coll *mongo.Collection) string {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cur.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // only read
	sum := sha256.New()
	for cur.Next(t.Context()) {
		sum.Write(cur.Current)
	}
	if err := cur.Err(); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// undo takes a run back, and compares with the bytes from before (I8).
func (s *scene) undo(t testing.TB, coll *mongo.Collection, run, before string) {
	t.Helper()
	if _, err := backfill.Undo(t.Context(), s.app, run, nil); err != nil {
		t.Error("undo:", err)
		return
	}
	if hash(t, coll) != before {
		t.Error("the undo has not restored every byte (I8)")
	}
}
