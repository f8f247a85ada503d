package cli

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/schedule"
)

// serveAll serves the queue, and fires the schedules beside it. When one of them can't begin, neither does.
func (s *session) serveAll(ctx context.Context, flags serveFlags, watch *serveWatch, opts *rikki.ServeOptions) error {
	if flags.NoSchedules {
		watch.open()
		return s.runs.Serve(ctx, opts)
	}
	defined := slices.Clone(s.p.app.Schedules)
	if flags.Schedules != "" {
		list, err := schedule.Load(s.runs, flags.Schedules)
		if err != nil {
			return err
		}
		defined = append(defined, list...)
	}
	scheduler := schedule.New(s.runs, &schedule.Options{Schedules: defined, Program: s.p.name, Scripts: flags.Script, OnOpen: watch.open})
	if err := scheduler.Check(); err != nil {
		return s.p.scheduleError(err)
	}
	opts.Observers = append(opts.Observers, scheduler)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.runs.Serve(ctx, opts) })
	group.Go(func() error { return s.p.scheduleError(s.schedules(ctx, scheduler)) })
	return group.Wait()
}

// schedules fires schedules until ctx ends. A database that went away while the process began is no reason to end it: the queue
// waits for it too.
func (s *session) schedules(ctx context.Context, scheduler *schedule.Scheduler) error {
	const pause = 2 * time.Second
	for {
		err := scheduler.Run(ctx)
		if err == nil || ctx.Err() != nil || !rikki.IsTransient(err) && !mongo.IsTimeout(err) {
			return err
		}
		s.p.term.Warn("no schedule is fired, trying again in %s: %v", pause, err)
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil
		}
	}
}
