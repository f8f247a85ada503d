package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// A standalone server that demands a login: the store needs no replica set, and says when an account has no rights.
func TestStandaloneServerWithRoles(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true, Args: []string{"--auth"}})
	connect := func(user string) *mongo.Client {
		t.Helper()
		opts := options.Client().ApplyURI(server.URI())
		if user != "" {
			opts.SetAuth(options.Credential{AuthSource: "admin", Username: user, Password: "secret"})
		}
		client, err := mongo.Connect(opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := client.Disconnect(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		return client
	}
	create := func(by *mongo.Client, user string, roles ...any) {
		t.Helper()
		err := by.Database("admin").RunCommand(t.Context(), bson.D{
			{Key: "createUser", Value: user}, {Key: "pwd", Value: "secret"}, {Key: "roles", Value: bson.A(roles)},
		}).Err()
		if err != nil {
			t.Fatalf("create user %s: %v", user, err)
		}
	}
	role := func(name string) bson.D {
		return bson.D{{Key: "role", Value: name}, {Key: "db", Value: "rikki"}}
	}
	create(connect(""), "root", "root") // the server lets the first one in from its own machine
	root := connect("root")
	create(root, "writer", role("readWrite"))
	create(root, "reader", role("read"))
	create(root, "stranger", bson.D{{Key: "role", Value: "readWrite"}, {Key: "db", Value: "shop"}})

	writer := New(connect("writer").Database("rikki"))
	use(t, writer)
	n := newRun()
	if _, err := writer.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}

	reader := New(connect("reader").Database("rikki"))
	if r, err := reader.Run(t.Context(), n.ID); err != nil || r.State != Running {
		t.Errorf("an account that may read: got %s, %v", r.State, err)
	}
	before, err := reader.runs.FindOne(t.Context(), bson.D{{Key: "_id", Value: n.ID}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	writes(t, reader, n.ID)
	after, err := reader.runs.FindOne(t.Context(), bson.D{{Key: "_id", Value: n.ID}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.String(), after.String()); diff != "" {
		t.Errorf("a reader changed the run (-before +after):\n%s", diff)
	}

	stranger := New(connect("stranger").Database("rikki"))
	writes(t, stranger, n.ID)
	_, err = stranger.Run(t.Context(), n.ID)
	wantErr(t, err, ErrNoAccess)
	_, err = stranger.Latest(t.Context(), "")
	wantErr(t, err, ErrNoAccess)
	for _, err := range stranger.Runs(t.Context(), Filter{}) {
		wantErr(t, err, ErrNoAccess)
	}
	for _, err := range stranger.Logs(t.Context(), n.ID, LogFilter{}) {
		wantErr(t, err, ErrNoAccess)
	}
}

// writes demands that every write is refused with ErrNoAccess.
func writes(t *testing.T, s *Store, id string) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Start(ctx, newRun())
	wantErr(t, err, ErrNoAccess)
	wantErr(t, s.EnsureIndexes(ctx), ErrNoAccess)
	_, err = s.Beat(ctx, id, 1, Beat{TTL: time.Minute})
	wantErr(t, err, ErrNoAccess)
	_, err = s.Move(ctx, id, 1, Cancelling)
	wantErr(t, err, ErrNoAccess)
	_, err = s.Finish(ctx, id, 1, Finish{State: Failed})
	wantErr(t, err, ErrNoAccess)
	wantErr(t, s.Release(ctx, id, 1), ErrNoAccess)
	// Where nothing has expired there is nothing to write: who may only read looks, and that is all.
	if n, err := s.Sweep(ctx); n != 0 || err != nil && !errors.Is(err, ErrNoAccess) {
		t.Errorf("sweep: %d, %v", n, err)
	}
	wantErr(t, s.AppendLogs(ctx, id, []Log{{Seq: 1}}), ErrNoAccess)
	_, err = s.Enqueue(ctx, newRun())
	wantErr(t, err, ErrNoAccess)
	_, err = s.Checkpoint(ctx, id, 1, Checkpoint{Value: mustEncode(t, 5)})
	wantErr(t, err, ErrNoAccess)
	_, err = s.Control(ctx, id, Request{Action: Cancel})
	wantErr(t, err, ErrNoAccess)
	wantErr(t, s.Audit(ctx, Entry{Run: id}), ErrNoAccess)
}
