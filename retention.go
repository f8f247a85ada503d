package rikki

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// Retention says how long runs are kept in the history. Zero fields mean the
// default, negative ones no limit.
//
// Runs that are queued, under way, paused, or interrupted and able to resume are
// always kept, and so is what they need of others: the run that an undo takes back,
// the run of --failed-of. An undo is kept as long as the run that it undid. What belongs
// to a run, such as its log and its entries in the audit log, is deleted with it.
type Retention struct {
	// MaxAge is how long a run is kept after its end. Default 90 days.
	MaxAge time.Duration

	// MaxRuns is how many runs of a script are kept at most. Default 10,000.
	MaxRuns int

	// MinRuns is how many of a script's newest runs are kept whatever their age,
	// so that those of a script that runs once a year can be compared. Default 20.
	MinRuns int

	// LogAge is how long a run's log is kept after its end; its record stays.
	// Default 30 days.
	LogAge time.Duration
}

const (
	day            = 24 * time.Hour
	defaultMaxAge  = 90 * day
	defaultLogAge  = 30 * day
	defaultMaxRuns = 10_000
	defaultMinRuns = 20
)

// or fills the fields that say nothing.
func (r Retention) or(other Retention) Retention {
	if r.MaxAge == 0 {
		r.MaxAge = other.MaxAge
	}
	if r.MaxRuns == 0 {
		r.MaxRuns = other.MaxRuns
	}
	if r.MinRuns == 0 {
		r.MinRuns = other.MinRuns
	}
	if r.LogAge == 0 {
		r.LogAge = other.LogAge
	}
	return r
}

func (r Retention) keep() store.Keep {
	return store.Keep{MaxAge: r.MaxAge, LogAge: r.LogAge, MaxRuns: r.MaxRuns, MinRuns: r.MinRuns}
}

// retention is what the configuration says, or the defaults.
func (a *App) retention() Retention {
	return a.cfg.Retention.or(Retention{MaxAge: defaultMaxAge, MaxRuns: defaultMaxRuns, MinRuns: defaultMinRuns, LogAge: defaultLogAge})
}

// keepFor is a script's own wish, which its runs carry with them: a process that
// doesn't know the script prunes by it. It is nil when the script has none.
func (a *App) keepFor(o Options) *store.Keep {
	if o.Retention == (Retention{}) {
		return nil
	}
	keep := o.Retention.or(a.retention()).keep()
	return &keep
}

// Pruned is what was deleted from the history.
type Pruned struct {
	Runs    int64            `json:"runs"`
	Records int64            `json:"records"` // log records, audit entries and the like
	Scripts map[string]int64 `json:"scripts"` // runs by script

	// Kept says of runs that are old enough why they stay: because of which other run. It has
	// up to a thousand of a script. [App.PrunePreview] tells them.
	Kept map[string]string `json:"kept,omitempty"`
}

// keep notes why a run stays.
func (p *Pruned) keep(k store.Kept) {
	if p.Kept == nil {
		p.Kept = make(map[string]string)
	}
	p.Kept[k.Run] = fmt.Sprintf("%s (%s, %s) still needs it", k.By, k.Script, k.State)
	if k.Undoes {
		p.Kept[k.Run] = fmt.Sprintf("it is an undo of %s, which is kept", k.By)
	}
}

// needer is implemented by scripts that read what the history has of other runs: their journals or failures. The
// parameters are in place when it is asked. The runs that it names are not pruned before its own run is over, in whatever
// state that is.
type needer interface {
	NeedsRuns() []string
}

func (p *Pruned) add(script string, n, records int64) {
	if p.Scripts == nil {
		p.Scripts = make(map[string]int64)
	}
	if n > 0 {
		p.Scripts[script] += n
	}
	p.Runs += n
	p.Records += records
}

// Prune deletes runs of the history that need not be kept, with their logs, in
// small batches: those of one script, or of all when script is "". keep says
// what is kept; its zero fields, or all if it is nil, are those of the script
// and the configuration. It also deletes logs beyond their age, and what was left
// behind by runs that are no more.
//
// [App.Serve] does that every so often. Any number of processes may prune at the same time,
// and a process that dies over it leaves nothing that the next doesn't find. When ctx
// ends, what was deleted so far is returned with its error.
func (a *App) Prune(ctx context.Context, script string, keep *Retention) (Pruned, error) {
	p := &pruner{app: a, script: script, keep: keep}
	err := a.withHistory(ctx, p.all)
	return p.done, err
}

// PrunePreview counts the runs that [App.Prune] would delete, tells which it would
// keep because others need them, and deletes nothing. It doesn't count what would go
// with them.
func (a *App) PrunePreview(ctx context.Context, script string, keep *Retention) (Pruned, error) {
	p := &pruner{app: a, script: script, keep: keep}
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		return p.each(ctx, s, func(script string, k store.Keep) error {
			n, kept, err := s.Surplus(ctx, script, k)
			p.done.add(script, n, 0)
			for _, k := range kept {
				p.done.keep(k)
			}
			return err
		})
	})
	return p.done, err
}

// pruner prunes once, or again and again.
type pruner struct {
	app    *App
	script string
	keep   *Retention
	done   Pruned

	keeps map[string]store.Keep // by script
	walks []*store.Leftovers    // of a process that serves: where it was the last time
}

// each calls fn for every script with what is kept of it.
func (p *pruner) each(ctx context.Context, s *store.Store, fn func(script string, k store.Keep) error) error {
	p.done.add("", 0, 0)
	scripts := []string{p.script}
	if p.script == "" {
		var err error
		if scripts, err = s.Scripts(ctx); err != nil {
			return err
		}
	}
	p.keeps = make(map[string]store.Keep)
	for _, script := range scripts {
		k, err := p.keepOf(ctx, s, script)
		if err != nil {
			return err
		}
		p.keeps[script] = k
		if err := fn(script, k); err != nil {
			return err
		}
	}
	return nil
}

// keepOf is what is kept of a script's runs: what the caller says, then the
// script, then its newest run, then the configuration.
func (p *pruner) keepOf(ctx context.Context, s *store.Store, script string) (store.Keep, error) {
	var wish Retention
	if p.keep != nil {
		wish = *p.keep
	}
	if e, err := p.app.lookup(script); err == nil {
		return wish.or(e.opts.Retention).or(p.app.retention()).keep(), nil
	}
	k, ok, err := s.KeepOf(ctx, script)
	if err != nil || !ok {
		return wish.or(p.app.retention()).keep(), err
	}
	return wish.or(Retention{MaxAge: k.MaxAge, MaxRuns: k.MaxRuns, MinRuns: k.MinRuns, LogAge: k.LogAge}).or(p.app.retention()).keep(), nil
}

// logAge is how long the logs of a script's runs are kept. A script that was not
// asked about keeps its own.
func (p *pruner) logAge(script string) time.Duration {
	if k, ok := p.keeps[script]; ok {
		return k.LogAge
	}
	return -1
}

// occurrences prunes what schedules recorded of scripts that were asked about.
func (p *pruner) occurrences(ctx context.Context, s *store.Store) error {
	var unknown error
	n, err := s.PruneOccurrences(ctx, func(script string) (store.Keep, bool) {
		k, ok := p.keeps[script]
		if !ok && p.script == "" { // a script of which every slot was skipped has no run
			var err error
			k, err = p.keepOf(ctx, s, script)
			ok, unknown = err == nil, errors.Join(unknown, err)
		}
		return k, ok
	})
	p.done.Records += n
	return errors.Join(err, unknown)
}

// all prunes all there is.
func (p *pruner) all(ctx context.Context, s *store.Store) error {
	if err := errors.Join(p.runs(ctx, s), p.occurrences(ctx, s)); err != nil {
		return err
	}
	const page = 200
	for _, walk := range s.Leftovers(p.logAge) {
		for more := true; more; {
			var n int64
			var err error
			if n, more, err = walk.Next(ctx, page); err != nil {
				return err
			}
			p.done.Records += n
		}
	}
	return nil
}

func (p *pruner) runs(ctx context.Context, s *store.Store) error {
	return p.each(ctx, s, func(script string, k store.Keep) error {
		for {
			pruned, err := s.PruneRuns(ctx, script, k)
			p.done.add(script, pruned.Runs, pruned.Records)
			if err != nil || pruned.Runs == 0 {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	})
}

// turn is what a process that serves prunes at a time: all runs, and of what may be
// left over a part, from where it was.
func (p *pruner) turn(ctx context.Context, s *store.Store) error {
	const page, few, most = 100, 10, 100 // pages, with nothing to delete and at most
	p.done = Pruned{}
	if err := errors.Join(p.runs(ctx, s), p.occurrences(ctx, s)); err != nil {
		return err
	}
	if p.walks == nil {
		p.walks = s.Leftovers(p.logAge)
	}
	for _, walk := range p.walks {
		for i := range most {
			n, more, err := walk.Next(ctx, page)
			if err != nil {
				return err
			}
			p.done.Records += n
			if !more || n == 0 && i >= few-1 {
				break // the rest another time
			}
		}
	}
	return nil
}

// prune prunes every so often until ctx ends.
func (s *server) prune(ctx context.Context) {
	if s.opts.PruneEvery < 0 {
		return
	}
	p := &pruner{app: s.app}
	// Processes that were started together shall not prune together, and a process has better things to do first.
	timer := time.NewTimer(s.opts.PruneEvery/10 + rand.N(s.opts.PruneEvery/10+1)) //nolint:gosec // spreads load, protects nothing
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := p.turn(ctx, s.store)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.WarnContext(ctx, "old runs can't be pruned, trying again later", "error", err)
		case p.done.Runs > 0 || p.done.Records > 0:
			s.log.InfoContext(ctx, "pruned old runs", "runs", p.done.Runs, "records", p.done.Records)
		}
		timer.Reset(s.opts.PruneEvery*3/4 + rand.N(s.opts.PruneEvery/2+1)) //nolint:gosec // see above
	}
}
