package rikki

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/store"
)

// RunFilter selects runs of the history. Its zero value selects all.
type RunFilter struct {
	Script string
	States []State
	Actor  string
	Since  time.Time // started at or after
	Until  time.Time // started before
	Text   string    // in ID, script, actor, host or parameters, whatever its case
	Before string    // continue a listing behind this run
	Limit  int       // 0 means all
}

// LogFilter selects log records of a run. Its zero value selects all.
type LogFilter struct {
	AfterSeq int64      // only what comes after this record
	MinLevel slog.Level // slog.LevelInfo is the zero value; use slog.LevelDebug for all
	Text     string     // in the message, whatever its case
	Limit    int        // 0 means all
	Tail     int        // only the last so many; 0 means all
}

// Runs lists runs of the history, the newest first, reading page by page as
// the caller goes on, without results and stacks, which may be large: see
// [App.Record]. Runs whose process died are marked as interrupted first.
func (a *App) Runs(ctx context.Context, filter RunFilter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
			a.sweep(ctx, s)
			for run, err := range s.Runs(ctx, store.Filter{
				Script: filter.Script, States: filter.States, Actor: filter.Actor,
				Since: filter.Since, Until: filter.Until, Text: filter.Text,
				Before: filter.Before, Limit: filter.Limit,
			}) {
				if err != nil {
					return err
				}
				if !yield(recordOf(run), nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// Record returns one run by its ID, by a beginning of it that fits no other
// run, or, for "last", the newest. The error is [ErrNotFound], an
// [*AmbiguousError], or one of the connection.
func (a *App) Record(ctx context.Context, id string) (Record, error) {
	var record Record
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		a.sweep(ctx, s)
		run, err := findRun(ctx, s, id)
		record = recordOf(run)
		return err
	})
	if err != nil {
		return Record{}, err
	}
	return record, nil
}

func findRun(ctx context.Context, s *store.Store, id string) (store.Run, error) {
	if id == "last" {
		return s.Latest(ctx, "")
	}
	return s.Run(ctx, id)
}

// Logs lists the log records of a run, the oldest first. The run must be given
// by its full ID.
func (a *App) Logs(ctx context.Context, run string, filter LogFilter) iter.Seq2[LogRecord, error] {
	return func(yield func(LogRecord, error) bool) {
		err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
			for record, err := range s.Logs(ctx, run, store.LogFilter{
				AfterSeq: filter.AfterSeq, MinLevel: filter.MinLevel, Text: filter.Text,
				Limit: filter.Limit, Tail: filter.Tail,
			}) {
				if err != nil {
					return err
				}
				if !yield(logRecordOf(record), nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(LogRecord{}, err)
		}
	}
}

// CheckHistory tells whether the history can be used: that its indexes exist
// or can be made, and that the account may write there.
func (a *App) CheckHistory(ctx context.Context) error {
	return a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		return s.EnsureIndexes(ctx)
	})
}

// withHistory holds the history's connection while fn reads.
func (a *App) withHistory(ctx context.Context, fn func(context.Context, *store.Store) error) error {
	if a.history == nil {
		return ErrNoHistory
	}
	ref, err := a.history.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ref.Release(context.WithoutCancel(ctx)) }()
	return publicError(fn(ctx, store.New(ref.DB())))
}

// WithHistory calls fn with the database of Rikki's own collections, over the
// connection that runs are recorded with, and holds that connection meanwhile. It
// is for packages that keep documents of their own there. The error is
// [ErrNoHistory], one of the connection, or what fn returns.
func (a *App) WithHistory(ctx context.Context, fn func(ctx context.Context, db *mongo.Database) error) error {
	if a.history == nil {
		return ErrNoHistory
	}
	return a.history.With(ctx, func(ctx context.Context, ref *conn.Ref) error { return fn(ctx, ref.DB()) })
}

// sweep marks the runs of dead processes. Listing works without: an account
// that may only read sees them as interrupted all the same.
func (a *App) sweep(ctx context.Context, s *store.Store) {
	n, err := s.Sweep(ctx)
	switch {
	case err != nil:
		a.cfg.Log.Debug("runs of dead processes were not marked", "error", err)
	case n > 0:
		a.cfg.Log.Debug("marked runs of dead processes as interrupted", "runs", n)
	}
}

// publicError turns the store's errors into those of this package.
func publicError(err error) error {
	var ambiguous *store.AmbiguousError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrTransition):
		// The store's own words for it add nothing.
		return fmt.Errorf("%w: %s", ErrState, strings.Replace(err.Error(), store.ErrTransition.Error()+": ", "", 1))
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.As(err, &ambiguous):
		public := &AmbiguousError{Prefix: ambiguous.Prefix}
		for _, run := range ambiguous.Candidates {
			public.Candidates = append(public.Candidates, run.ID)
		}
		return public
	default:
		return err
	}
}
