//go:build linux

package faults_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Case 42, as far as a backfill's process has a change stream: it stands still until the history of the stream is gone from the oplog. It
// opens another one, without a hurry, and takes what is queued.
func TestQueueOutlivesItsChangeStream(t *testing.T) {
	t.Parallel()
	set := faultrig.Node(t, "--oplogSize", "16")
	s := onSet(t, set)
	s.Poll = time.Minute // so that only the stream tells of a run
	const docs = 100
	coll := s.seed(t, "docs", docs)
	p := s.start(t)
	s.await(t, s.enqueue(t, "once", &Once{Coll: "did"}), time.Minute, rikki.Succeeded) // the stream is open
	token := tokenOf(t, s.db)
	p.Freeze(t)
	from := serverTime(t, s.client)
	payload := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(payload) // so that nothing compresses it
	local := set.Client(t).Database("local").Collection("oplog.rs")
	faultrig.Eventually(t, 2*time.Minute, "the oplog to forget", func(ctx context.Context) (bool, error) {
		for range 20 {
			if _, err := s.db.Collection("filler").InsertOne(ctx, bson.D{{Key: "payload", Value: payload}}); err != nil {
				return false, err
			}
		}
		var oldest struct {
			Wall time.Time `bson:"wall"`
		}
		err := local.FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: 1}})).Decode(&oldest)
		if server, ok := errors.AsType[mongo.ServerError](err); ok && server.HasErrorCode(codePositionLost) {
			return false, nil // what was read was forgotten just then
		}
		return oldest.Wall.After(from), err
	})
	// Negative control: who goes on where the stream broke tries for ever.
	again, err := s.db.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(token))
	if server, refused := errors.AsType[mongo.ServerError](err); !refused || !server.HasErrorCode(codeHistoryLost) {
		t.Errorf("a stream goes on behind what the oplog has forgotten: %+v, %v; the fault did not happen", again, err)
	}
	p.Thaw()
	faultrig.Eventually(t, time.Minute, "the stream to break", func(context.Context) (bool, error) {
		return strings.Contains(p.Output(), "the change stream broke"), nil
	})
	asked := time.Now()
	id := s.enqueue(t, "marks", marks("docs", 20, nil))
	s.await(t, id, time.Minute, rikki.Succeeded)
	took := time.Since(asked)
	s.audit(t, coll, id, docs)
	tries := strings.Count(p.Output(), "the change stream broke")
	if tries > 5 {
		t.Errorf("the stream broke %d times:\n%s", tries, p.Output())
	}
	if took > 30*time.Second {
		t.Errorf("the run was taken %s later: the new stream told nobody", took)
	}
	t.Logf("the stream was opened again %d times; the next run was done %s after it was queued", tries, took.Round(time.Millisecond))
}

// Codes of the server: ChangeStreamHistoryLost, and CappedPositionLost.
const (
	codeHistoryLost  = 286
	codePositionLost = 136
)

// tokenOf is a place in the history of a database's changes.
func tokenOf(t *testing.T, db *mongo.Database) bson.Raw {
	t.Helper()
	stream, err := db.Watch(t.Context(), mongo.Pipeline{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close(t.Context()) }() // it has told what it knows
	if _, err := db.Collection("filler").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if !stream.Next(t.Context()) {
		t.Fatal("the stream tells nothing:", stream.Err())
	}
	return stream.ResumeToken()
}
