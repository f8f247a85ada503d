package conn_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

// uri is the shared server's address of a database and with further options.
func uri(t *testing.T, database string, options ...string) string {
	t.Helper()
	base, query, _ := strings.Cut(mongotest.URI(t), "?")
	all := append([]string{query}, options...)
	return strings.TrimSuffix(base, "/") + "/" + database + "?" + strings.Trim(strings.Join(all, "&"), "&")
}

// source returns a Source for this test alone, closed at the end.
func source(t *testing.T, cfg conn.Config) *conn.Source {
	t.Helper()
	if cfg.AppName == "" {
		cfg.AppName = mongotest.Name(t)
	}
	cfg.Getenv = func(string) string { return "" }
	s := conn.New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func acquire(t *testing.T, s *conn.Source) *conn.Ref {
	t.Helper()
	ref, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return ref
}

func release(t *testing.T, ref *conn.Ref) {
	t.Helper()
	if err := ref.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it never came that %s", what)
		}
	}
}

// connections counts the server's connections of an application, the driver's
// monitors included.
func connections(t *testing.T, appName string) int {
	t.Helper()
	cursor, err := mongotest.Client(t).Database("admin").Aggregate(t.Context(), bson.A{
		bson.D{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleConnections", Value: true}}}},
		bson.D{{Key: "$match", Value: bson.D{{Key: "appName", Value: appName}}}},
	})
	if err != nil {
		t.Fatalf("$currentOp: %v", err)
	}
	var ops []bson.Raw
	if err := cursor.All(t.Context(), &ops); err != nil {
		t.Fatalf("$currentOp: %v", err)
	}
	return len(ops)
}
