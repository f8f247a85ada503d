//go:build linux

package faultrig

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

//nolint:gochecknoglobals // constants, but for their types
var (
	majorityRead = readconcern.Majority()
	primaryRead  = readpref.Primary()
)

// History is what happened to a database's collections, in the order of the oplog, majority-committed only.
type History struct {
	db   *mongo.Database
	from bson.Timestamp
}

// Change is one event of a change stream.
type Change struct {
	Op   string `bson:"operationType"`
	Coll string
	NS   struct {
		Coll string `bson:"coll"`
	} `bson:"ns"`
	Key         bson.D         `bson:"documentKey"`
	Full        bson.Raw       `bson:"fullDocument"` // of inserts and replacements
	Description ChangedFields  `bson:"updateDescription"`
	Time        bson.Timestamp `bson:"clusterTime"`
}

// ChangedFields are those of an update, by their dotted names.
type ChangedFields struct {
	Updated bson.Raw `bson:"updatedFields"`
	Removed []string `bson:"removedFields"`
}

// Record begins a history now.
func Record(t testing.TB, db *mongo.Database) *History {
	t.Helper()
	var answer struct {
		OperationTime bson.Timestamp `bson:"operationTime"`
	}
	if err := db.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	next := answer.OperationTime
	next.I++
	return &History{db: db, from: next}
}

// Changes reads what has happened since, up to a mark that it writes itself.
func (h *History) Changes(t testing.TB) []Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	end := bson.NewObjectID()
	marks := h.db.Collection("faultrig_marks")
	if _, err := marks.InsertOne(ctx, bson.D{{Key: "_id", Value: end}}); err != nil {
		t.Fatal("mark the history's end:", err)
	}
	stream, err := h.db.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetStartAtOperationTime(&h.from).SetBatchSize(5000))
	if err != nil {
		t.Fatal("read the history:", err)
	}
	defer stream.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	var changes []Change
	for stream.Next(ctx) {
		var c Change
		if err := stream.Decode(&c); err != nil {
			t.Fatal(err)
		}
		c.Coll = c.NS.Coll
		if c.Coll == marks.Name() {
			if len(c.Key) > 0 && c.Key[0].Value == end {
				return changes
			}
			continue
		}
		changes = append(changes, c)
	}
	t.Fatal("the history has no end:", stream.Err())
	return nil
}

// CheckFenced is invariant I3: in the order of the oplog, no write with a token comes behind one with a greater token. group tells which writes are
// of one lease, such as those of a partition; token what a change was written with. Changes for which ok is false don't count.
func CheckFenced(changes []Change, of func(Change) (group string, token int64, ok bool)) error {
	var v violations
	newest := map[string]int64{}
	counted := 0
	for _, c := range changes {
		group, token, ok := of(c)
		if !ok {
			continue
		}
		counted++
		if token < newest[group] {
			v.add("%s %v of %s: token %d became visible behind token %d", c.Op, c.Key, group, token, newest[group])
		}
		newest[group] = max(token, newest[group])
	}
	if counted == 0 {
		return fmt.Errorf("fenced (I3): none of %d changes has a token", len(changes))
	}
	return v.err("fenced (I3)")
}

// CheckGrowing is invariant I2, as the oplog tells it: a value of a document never becomes smaller. of tells which value a change
// has set. Values are compared as compare does.
func CheckGrowing(changes []Change, of func(Change) (key string, value bson.RawValue, ok bool), compare func(a, b bson.RawValue) int) error {
	var v violations
	last := map[string]bson.RawValue{}
	counted := 0
	for _, c := range changes {
		key, value, ok := of(c)
		if !ok {
			continue
		}
		counted++
		if before, seen := last[key]; seen && compare(value, before) < 0 {
			v.add("%s went back from %s to %s", key, before, value)
		}
		last[key] = value
	}
	if counted == 0 {
		return fmt.Errorf("checkpoints grow (I2): none of %d changes has one", len(changes))
	}
	return v.err("checkpoints grow (I2)")
}
