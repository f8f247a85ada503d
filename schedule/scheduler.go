package schedule

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// Options configures a [Scheduler]. The zero value and nil are fine.
type Options struct {
	// Schedules are those that the program defines, in its code or in a file; [Scheduler.Run] stores them before
	// anything fires.
	Schedules []Schedule

	// Program is the name of the program that defines them, so that another one on the same database doesn't take them
	// for its own. Default: the name of the running file.
	Program string

	// Scripts are the names of those whose schedules this process fires. Default: all that the app knows.
	Scripts []string

	// Poll is how often to look for changes and for runs that have ended elsewhere. Default 1 s. What is due fires in
	// time, however long this is, when the process has seen the schedule.
	Poll time.Duration

	// Actor is who changes schedules. Default: the user, as [rikki.Config.Actor].
	Actor string

	// OnOccurrence is told of each occurrence of which this process is the first to know that it fired, was skipped or
	// has ended; OnPause of each schedule that pauses itself. They must be quick. After a crash in the wrong moment
	// nobody is told: what must not be missed is in [Scheduler.Occurrences].
	OnOccurrence func(Occurrence)
	OnPause      func(Info)

	// OnOpen is called when [Scheduler.Run] has stored the schedules, and fires what is due from now on.
	OnOpen func()
}

const (
	defaultPoll = time.Second
	minPoll     = 20 * time.Millisecond
	callTimeout = 10 * time.Second
	batchSize   = 100
	parallel    = 2 // as many as the history's pool has connections
)

// Scheduler fires, and changes, the schedules of an app's database. Its methods may be called from several goroutines.
type Scheduler struct {
	app     *rikki.App
	opts    Options
	log     *slog.Logger
	scripts []string // whose schedules this process fires
	poke    chan struct{}
	crash   func(point string) error // of tests: ends the work of a schedule as a crash would

	mu     sync.Mutex
	plans  map[string]cached
	broken map[string]time.Time // schedules that failed, until when to leave them
}

// cached is what was compiled of a revision of a schedule. Of schedules that were removed and made again, the times differ.
type cached struct {
	revision int64
	created  time.Time
	*compiled
	invalid error // why the parameters don't fit the script
}

// New returns a scheduler for the schedules of the database that the app's scripts work on. It does nothing until one of its
// methods is called. nil is fine for opts.
func New(app *rikki.App, opts *Options) *Scheduler {
	s := &Scheduler{app: app, log: app.Log(), poke: make(chan struct{}, 1), plans: map[string]cached{}, broken: map[string]time.Time{}}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.Poll = max(cmp.Or(s.opts.Poll, defaultPoll), minPoll)
	s.opts.Program = cmp.Or(s.opts.Program, strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"))
	if s.opts.OnOccurrence == nil {
		s.opts.OnOccurrence = func(Occurrence) {}
	}
	if s.opts.OnPause == nil {
		s.opts.OnPause = func(Info) {}
	}
	if s.opts.OnOpen == nil {
		s.opts.OnOpen = func() {}
	}
	s.scripts = s.opts.Scripts
	if s.scripts == nil {
		for _, info := range app.Scripts() {
			s.scripts = append(s.scripts, info.Name)
		}
	}
	return s
}

func (s *Scheduler) database() string         { return s.app.Conn().Database() }
func (s *Scheduler) id(name string) string    { return store.ScheduleID(s.database(), name) }
func (s *Scheduler) knows(script string) bool { _, err := s.app.Script(script); return err == nil }

// with calls fn with the store.
func (s *Scheduler) with(ctx context.Context, fn func(ctx context.Context, st *store.Store) error) error {
	return s.app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
		return publicError(fn(ctx, store.New(db)))
	})
}

func publicError(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errors.Join(ErrNotFound)
	case errors.Is(err, store.ErrConflict):
		return errors.Join(ErrConflict)
	}
	return err
}

// Run stores the schedules of [Options.Schedules] and then fires what is due, until ctx ends: it queues the runs, and any
// process that serves the queue ([rikki.App.Serve]) performs them. Any number of processes may do this at once; each
// slot is decided on by one of them, by the server's clock.
//
// An error at the beginning is returned: of the definitions, [rikki.ErrNoHistory], or one of the connection. Later ones are
// logged, and what failed is tried again. Run returns nil when ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	err := s.fire(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a stop is what was asked for
	}
	return err
}

func (s *Scheduler) fire(ctx context.Context) error {
	if _, err := s.Sync(ctx); err != nil {
		return err
	}
	return s.with(ctx, func(ctx context.Context, st *store.Store) error {
		if err := st.EnsureScheduleIndexes(ctx); err != nil {
			return err
		}
		s.opts.OnOpen()
		s.loop(ctx, st)
		return nil
	})
}

// Observe implements [rikki.Observer]: given to the serving of the queue in the same process, the scheduler learns at once
// that a run has ended.
func (s *Scheduler) Observe(event rikki.Event) {
	if event.Type == rikki.EventResult {
		s.wake()
	}
}

// wake makes the loop look soon. Any number of calls is one look.
func (s *Scheduler) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// restTime is how long after the news of a run's end the loop looks: the end is recorded by then, and a busy queue costs little.
const restTime = 50 * time.Millisecond

// loop fires and settles until ctx ends.
func (s *Scheduler) loop(ctx context.Context, st *store.Store) {
	var looked, due time.Time // when the open occurrences were looked at, and when to look because of news
	for ctx.Err() == nil {
		left, err := s.fireDue(ctx, st)
		if news := !due.IsZero() && !time.Now().Before(due); err == nil && (news || time.Since(looked) >= s.opts.Poll) {
			looked, due = time.Now(), time.Time{}
			err = s.settleAll(ctx, st)
		}
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "schedules can't be looked at, trying again", "error", err)
			left = s.opts.Poll
		}
		if !due.IsZero() {
			left = min(left, time.Until(due))
		}
		if s.wait(ctx, left, due.IsZero()) {
			due = time.Now().Add(restTime)
		}
	}
}

// wait returns when it is time to look again, or, if it listens, with true when a run is said to have ended.
func (s *Scheduler) wait(ctx context.Context, left time.Duration, listens bool) (news bool) {
	// Processes that were started together shall not ask together; what is due is another matter.
	poll := s.opts.Poll*3/4 + rand.N(s.opts.Poll/2) //nolint:gosec // spreads load, protects nothing
	timer := time.NewTimer(max(min(left, poll), time.Millisecond))
	defer timer.Stop()
	poke := s.poke
	if !listens {
		poke = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-poke:
		return true
	}
	return false
}

// fireDue decides on all that is due, and returns how long it is until the next.
func (s *Scheduler) fireDue(ctx context.Context, st *store.Store) (time.Duration, error) {
	for {
		left, some, err := st.NextDue(ctx, s.database(), s.scripts)
		if err != nil {
			return 0, err
		}
		if !some {
			return s.opts.Poll, nil
		}
		if left > 0 {
			return left, nil
		}
		due, err := st.DueSchedules(ctx, s.database(), s.scripts, batchSize)
		if err != nil {
			return 0, err
		}
		due = s.sound(due)
		if len(due) == 0 || ctx.Err() != nil {
			return s.opts.Poll, nil //nolint:nilerr // what is due can't be served now
		}
		// Processes that woke together shall not fight over the same schedule.
		rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] }) //nolint:gosec // spreads load, protects nothing
		s.each(ctx, st, due, nil)
	}
}

// sound leaves out the schedules that failed a moment ago.
func (s *Scheduler) sound(found []store.Schedule) []store.Schedule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []store.Schedule
	for _, sch := range found {
		if until, bad := s.broken[sch.ID]; !bad || time.Now().After(until) {
			delete(s.broken, sch.ID)
			list = append(list, sch)
		}
	}
	return list
}

// brokenFor is how long a schedule is left alone that could not be dealt with.
const brokenFor = 5 * time.Second

// each makes a step of every schedule, a few at a time. What fails is logged and left for a while.
func (s *Scheduler) each(ctx context.Context, st *store.Store, list []store.Schedule, ends map[string]store.RunEnd) {
	// What was decided is also carried out: a stop doesn't come in between.
	live, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*callTimeout)
	defer cancel()
	var group sync.WaitGroup
	work := make(chan store.Schedule)
	for range min(parallel, len(list)) {
		group.Go(func() {
			for sch := range work {
				err := s.step(live, st, sch, ends)
				if err == nil || errors.Is(err, store.ErrConflict) {
					continue
				}
				s.mu.Lock()
				s.broken[sch.ID] = time.Now().Add(brokenFor)
				s.mu.Unlock()
				s.log.WarnContext(ctx, "a schedule could not be served, trying again", "schedule", sch.Name, "error", err)
			}
		})
	}
	for _, sch := range list {
		if ctx.Err() != nil {
			break
		}
		work <- sch
	}
	close(work)
	group.Wait()
}

// settleAll looks at the runs of all schedules that have some.
func (s *Scheduler) settleAll(ctx context.Context, st *store.Store) error {
	var page []store.Schedule
	flush := func() error {
		ends, err := st.RunEnds(ctx, openRuns(page...))
		if err != nil {
			return err
		}
		for _, end := range ends {
			if end.Lapsed {
				if _, err := st.Sweep(ctx); err != nil {
					return err
				}
				break
			}
		}
		s.each(ctx, st, s.sound(page), ends)
		page = nil
		return nil
	}
	for sch, err := range st.BusySchedules(ctx, s.database(), s.scripts) {
		if err != nil {
			return err
		}
		if page = append(page, sch); len(page) == batchSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(page) == 0 {
		return nil
	}
	return flush()
}

// openRuns are the runs that haven't been seen to end.
func openRuns(list ...store.Schedule) []string {
	var ids []string
	for _, sch := range list {
		for _, o := range sch.Open {
			if o.State == store.Firing {
				ids = append(ids, o.Run)
			}
		}
	}
	return ids
}
