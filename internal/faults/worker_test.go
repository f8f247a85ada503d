//go:build linux

package faults_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/point"
)

// ttl is how long a lease lives where a test waits for it to run out: the least that there is. Elsewhere it lives as long as by default, since a
// server that has much else to do may keep a renewal waiting for longer.
const ttl = 3 * time.Second

// place is where a process works.
type place struct {
	URI, Database string

	AppName string
	Workers int
	Grace   time.Duration
	TTL     time.Duration // of leases; Rikki's default if it is zero
	Pool    uint64
	Poll    time.Duration // of the queue; half a second if it is zero
}

func (p place) history() string { return p.Database + "_history" }

// app is an app as a worker process has it.
func (p place) app(routes *faultrig.Routes, log *slog.Logger) (*rikki.App, error) {
	cfg := &rikki.Config{HistoryDatabase: p.history(), LeaseTTL: p.TTL, Log: log, Actor: "faults"}
	cfg.Conn.URI, cfg.Conn.Database, cfg.Conn.AppName, cfg.Conn.PoolSize = p.URI, p.Database, p.AppName, p.Pool
	cfg.Conn.ClientOptions = routes.Options
	app := rikki.New(cfg)
	return app, app.Add(scripts()...)
}

// serve is a process that serves the queue until it is told to end.
func serve(ctx context.Context, w *faultrig.Worker) error {
	var p place
	if err := w.Args(&p); err != nil {
		return err
	}
	app, err := p.app(w.Routes(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		return err
	}
	stopping, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { cancel(rikki.ErrInterrupted) })()
	ready := sync.OnceFunc(func() { w.Say("ready", nil) })
	err = app.Serve(stopping, &rikki.ServeOptions{
		Workers: p.Workers, Poll: cmp.Or(p.Poll, 500*time.Millisecond), Grace: p.Grace,
		Report: func(s rikki.ServeStatus) {
			if s.Ready {
				ready()
			}
		},
		Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
			switch {
			case e.Result != nil && e.Result.Failure != nil:
				w.Say("ended", outcome{e.Run, string(e.Result.State), e.Result.Failure.Kind, e.Result.Recorded})
			case e.Result != nil:
				w.Say("ended", outcome{e.Run, string(e.Result.State), "", e.Result.Recorded})
			}
		})},
	})
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	return errors.Join(err, app.Close(closing))
}

// outcome is how a process saw a run end.
type outcome struct {
	Run, State, Kind string
	Recorded         bool
}

func scripts() []rikki.Script {
	return []rikki.Script{&Steps{}, &Once{}, &Stubborn{}, &Lines{}, backfill.New[bson.Raw](&Marks{}), backfill.New[bson.Raw](&Load{}), backfill.NewPipeline(&Pipes{}), backfill.NewUndo()}
}

// Steps does one document after the other and keeps checkpoints. What it did after the last checkpoint, it may do again.
type Steps struct {
	Coll  string
	Docs  int
	Pause time.Duration
	// Forgetful makes it begin anew whenever it goes on: the mistake that the tests must find.
	Forgetful bool
	// Detached makes it write with a context that no lost lease ends.
	Detached bool
	// Fenced makes it write only where no later attempt has.
	Fenced bool
}

// Options implements rikki.Configured. The driver tries a write again once, which is not enough for a primary that goes twice.
func (s *Steps) Options() rikki.Options {
	return rikki.Options{Resumable: true, Concurrency: -1, Retry: rikki.RetryPolicy{Tries: 3, Initial: 200 * time.Millisecond}}
}

// Execute implements rikki.Script.
func (s *Steps) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	next := 0
	if !s.Forgetful {
		if _, err := run.LoadCheckpoint(&next); err != nil {
			return nil, err
		}
	}
	for ; next < s.Docs; next++ {
		if err := s.pause(ctx); err != nil {
			return nil, err
		}
		point.Reached("script.before-write")
		if err := s.write(ctx, run, next); err != nil {
			return nil, err
		}
		point.Reached("script.written")
		if err := run.Checkpoint(ctx, next+1); err != nil {
			return nil, err
		}
	}
	return next, nil
}

func (s *Steps) pause(ctx context.Context) error {
	timer := time.NewTimer(s.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errFenced is what a stale attempt finds out where scripts are careful.
var errFenced = errors.New("a later attempt was here")

func (s *Steps) write(ctx context.Context, run *rikki.Run, id int) error {
	if s.Detached {
		ctx = context.WithoutCancel(ctx)
	}
	filter := bson.D{{Key: "_id", Value: id}}
	if s.Fenced {
		filter = append(filter, bson.E{Key: "seen.token", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gt", Value: run.Attempt()}}}}})
	}
	res, err := run.DB().Collection(s.Coll).UpdateOne(ctx, filter, bson.D{
		{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}},
		{Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Run: run.ID(), Chunk: strconv.Itoa(id), Token: int64(run.Attempt())}}}},
	})
	if err == nil && res.MatchedCount == 0 {
		return errFenced
	}
	return err
}

// Once writes down that it ran, and finds out when it runs twice.
type Once struct{ Coll string }

// Options implements rikki.Configured.
func (s *Once) Options() rikki.Options { return rikki.Options{Concurrency: -1} }

// Execute implements rikki.Script.
func (s *Once) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	return nil, mark(ctx, run.DB().Collection(s.Coll), run.ID())
}

func mark(ctx context.Context, coll *mongo.Collection, id string) error {
	_, err := coll.UpdateByID(ctx, id, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}, upsert)
	return err
}
