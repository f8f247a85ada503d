package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestTriesAgain(t *testing.T) {
	t.Parallel()
	busy, boom := rikki.Transient(errors.New("service busy")), errors.New("boom")
	policy := rikki.RetryPolicy{Tries: 3, Initial: time.Millisecond}
	always := func(err error) func() error { return func() error { return err } }
	twice := func(err error) func() error {
		n := 0
		return func() error {
			if n++; n <= 2 {
				return err
			}
			return nil
		}
	}
	tests := []struct {
		name   string
		policy rikki.RetryPolicy
		fail   func() error
		tries  int
		state  rikki.State
		says   string
	}{
		{"ATransientErrorIsTriedAgain", policy, twice(busy), 3, rikki.Succeeded, ""},
		{"AWrappedOneToo", policy, twice(fmt.Errorf("calling: %w", busy)), 3, rikki.Succeeded, ""},
		{"NotForever", policy, always(busy), 3, rikki.Failed, "after 3 tries: service busy"},
		{"NotWithoutAPolicy", rikki.RetryPolicy{}, always(busy), 1, rikki.Failed, "service busy"},
		{"NotAnErrorOfTheScript", policy, always(boom), 1, rikki.Failed, "boom"},
		{"NotADuplicateKey", policy, always(mongo.WriteException{WriteErrors: []mongo.WriteError{{Code: 11000}}}), 1, rikki.Failed, "write"},
		{"ADuplicateKeyIfThePolicySaysSo", rikki.RetryPolicy{
			Tries: 2, Initial: time.Millisecond, Transient: func(err error) bool { return mongo.IsDuplicateKeyError(err) },
		}, always(mongo.WriteException{WriteErrors: []mongo.WriteError{{Code: 11000}}}), 2, rikki.Failed, "after 2 tries"},
		{"NotAPanic", policy, func() error { panic(busy) }, 1, rikki.Failed, "panicked"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := &staged{journal: &journal{}, opts: rikki.Options{Name: "tries", Retry: test.policy}}
			script.execute = func(context.Context, *rikki.Run) (any, error) { return nil, test.fail() }
			app := rikkitest.App(t, rikkitest.DB(t), script)
			result, err := app.Run(t.Context(), "tries", nil)
			if result.State != test.state || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("state %s, error %v; want %s, %q", result.State, err, test.state, test.says)
			}
			want := []string{"validate"}
			for range test.tries {
				want = append(want, "setup", "execute", "cleanup")
			}
			if diff := cmp.Diff(want, script.journal.all()); diff != "" {
				t.Error("hooks (-want +got):\n" + diff)
			}
			record, err := app.Record(t.Context(), result.Run)
			if err != nil || record.Counters["retries"] != int64(test.tries-1) {
				t.Errorf("the history counts %d retries (%v), want %d", record.Counters["retries"], err, test.tries-1)
			}
		})
	}
}

func TestTryingAgainEndsWhenTheRunIsStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	script := &staged{journal: &journal{}, opts: rikki.Options{
		Name: "patient", Retry: rikki.RetryPolicy{Tries: 10, Initial: time.Hour, Max: time.Hour},
	}}
	script.execute = func(context.Context, *rikki.Run) (any, error) {
		cancel(rikki.ErrInterrupted)
		return nil, rikki.Transient(errors.New("busy"))
	}
	result, err := rikkitest.App(t, rikkitest.DB(t), script).Run(ctx, "patient", nil)
	if !errors.Is(err, rikki.ErrInterrupted) || result.State != rikki.Interrupted {
		t.Errorf("result %+v, error %v", result, err)
	}
}

func TestTriesAgainAfterAFailedConnection(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: "x", AppName: "victim"}})
	t.Cleanup(func() { closeApp(t, app) })
	tries := 0
	script := &staged{journal: &journal{}, opts: rikki.Options{Name: "net", Retry: rikki.RetryPolicy{Tries: 3, Initial: time.Millisecond}}}
	script.execute = func(ctx context.Context, run *rikki.Run) (any, error) {
		if tries++; tries == 1 {
			if err := killConnections(ctx, server); err != nil {
				return nil, err
			}
		}
		// The driver doesn't try this one again.
		_, err := run.DB().Collection("c").InsertMany(ctx, []any{bson.M{"a": 1}, bson.M{"a": 2}}) // retryable: once
		if tries == 1 && err == nil {
			err = rikki.Transient(errors.New("make it fail"))
		}
		return nil, err
	}
	app.MustAdd(script)
	if _, err := app.Run(t.Context(), "net", nil); err != nil || tries != 2 {
		t.Errorf("error %v after %d tries, want success after 2", err, tries)
	}
}

func TestIsTransient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("x"), false},
		{rikki.Transient(nil), false},
		{rikki.Transient(errors.New("x")), true},
		{&conn.Error{Kind: conn.Refused}, true},
		{&conn.Error{Kind: conn.Auth}, false},
		{&conn.Error{Kind: conn.BadURI}, false},
		{mongo.CommandError{Code: 112, Labels: []string{"TransientTransactionError"}}, true},
		{mongo.CommandError{Code: 91, Labels: []string{"RetryableWriteError"}}, true},
		{mongo.CommandError{Code: 10107}, true}, // as an update of many documents has it
		{mongo.CommandError{Code: 121}, false},
		{context.Canceled, false},
		{rikki.ErrTimeout, false},
		{rikki.ErrCommitUnknown, false},
	} {
		if got := rikki.IsTransient(test.err); got != test.want {
			t.Errorf("IsTransient(%v) = %t, want %t", test.err, got, test.want)
		}
	}
}
