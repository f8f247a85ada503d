package store

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

// testBundle is a store on a database of the test's own.
type testBundle struct {
	*Store
	db *mongo.Database
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	db := mongotest.DB(t)
	return &testBundle{Store: New(db), db: db}
}

// newRun is a run that can be started; change what the test is about.
func newRun() NewRun {
	return NewRun{
		ID: NewID(), Script: "lowercase-emails", TTL: time.Hour, Actor: "mira", Trigger: "cli", Database: "shop",
		Owner: Owner{Host: "worker-1", PID: 42, Instance: NewID()}, Timeout: 5 * time.Minute,
		Params: bson.D{{Key: "batch_size", Value: 500}},
	}
}

func (b *testBundle) start(t *testing.T, n NewRun) Run {
	t.Helper()
	run, err := b.Start(t.Context(), n)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return run
}

// expire lets the lease of a run run out, as if its owner had been silent for an hour.
func (b *testBundle) expire(t *testing.T, id string) {
	t.Helper()
	_, err := b.runs.UpdateByID(t.Context(), id, bson.A{bson.D{{Key: "$set", Value: bson.D{
		{Key: "lease.expires", Value: op("$subtract", now, 1000)},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
}

// stored is the document as it is.
func (b *testBundle) stored(t *testing.T, id string) bson.Raw {
	t.Helper()
	raw, err := b.runs.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Raw()
	if err != nil {
		t.Fatalf("read run %s: %v", id, err)
	}
	return raw
}

// insert stores a run as some other process may have left it.
func (b *testBundle) insert(t *testing.T, docs ...bson.D) {
	t.Helper()
	if _, err := b.runs.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

func (b *testBundle) count(t *testing.T) int64 {
	t.Helper()
	n, err := b.runs.CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error: got %v, want %v", err, want)
	}
}

// recorder keeps the commands that a client of its own sends.
type recorder struct {
	mu       sync.Mutex
	commands []bson.Raw
}

// record returns a store in the same database over a client with weak settings of its own, and what that client sends.
func (b *testBundle) record(t *testing.T, appName string) (*Store, *recorder) {
	t.Helper()
	r := &recorder{}
	client, err := mongo.Connect(options.Client().ApplyURI(mongotest.URI(t)).SetAppName(appName).
		SetWriteConcern(writeconcern.W1()).
		// A shutting-down server counts as unknown until the next heartbeat; the default is 10 s.
		SetHeartbeatInterval(500 * time.Millisecond).
		SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.commands = append(r.commands, slices.Clone(e.Command))
		}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return New(client.Database(b.db.Name())), r
}

// take returns the commands since the last call.
func (r *recorder) take() []bson.Raw {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.commands
	r.commands = nil
	return out
}

func commandName(cmd bson.Raw) string {
	first, err := cmd.IndexErr(0)
	if err != nil {
		return ""
	}
	return first.Key()
}

func names(cmds []bson.Raw) []string {
	out := make([]string, len(cmds))
	for i, c := range cmds {
		out[i] = commandName(c)
	}
	return out
}

// openNotifications creates the indexes of notifications.
func openNotifications(t *testing.T, b *testBundle) error {
	t.Helper()
	_, err := b.OpenNotifications(t.Context(), "shop")
	return err
}
