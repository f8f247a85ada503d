package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/pace"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

// work is what a kind of backfill does with a chunk.
type work interface {
	// prepare checks what can be checked before the first write.
	prepare(ctx context.Context, e *engine) error

	// chunk reads the next documents of c's partition, calls c.advance before it writes anything, and changes them. It runs in
	// a transaction, and may be called again for the same documents.
	chunk(ctx context.Context, c *chunk) error

	// leftover looks at the next documents of a range again; see verify.
	leftover(ctx context.Context, e *engine, p store.Partition, limit int) (leftover, error)
}

// engine is one run of a backfill in this process.
type engine struct {
	run   *rikki.Run
	opts  Options
	knobs Knobs
	work  work
	log   *slog.Logger

	client *mongo.Client
	coll   *mongo.Collection
	target store.Target  // what the run is about
	pinned bool          // commands say so
	picked *store.Target // what the run was about whose failed documents are picked
	// scriptKey is the key that the script says where the walk goes by _id all the same.
	scriptKey string
	// collation is the collection's.
	collation bson.RawValue
	source    reader
	view      *view       // what a function can see of documents; nil: all
	retried   *failedWalk // of a run that is limited to what failed; else nil
	undone    *undoneOf   // the same, whatever its source
	store     *store.Store
	walk      *store.Walk
	plan      store.Plan
	// alone says that the server has no transactions: a chunk may be done twice.
	alone bool

	pace        *pacer
	throttle    Throttler
	seq         atomic.Int64 // of journal documents
	sizes       sizes
	budget      budget
	collections collections // that are written to
	others      sync.Map    // the UUIDs of other collections that are written to, by their names
	advanced    atomic.Bool // the run's record knows that this attempt gets on
	planned     bool        // the run has a plan, and so a place to go on at

	mu      sync.Mutex
	counts  store.Counts
	earlier store.Counts // of earlier attempts
	total   int64
	queue   []store.Partition // nobody works on them, and they are not done
	active  int               // workers
	ended   error             // why the workers stop; nil while they go on
	// troubles are what workers try again that has failed for a while.
	troubles map[*worker]string
	halt     context.CancelCauseFunc // ends their waiting
}

// execute runs a backfill from its plan, or from where an earlier attempt has left it, to its verification.
func execute(ctx context.Context, run *rikki.Run, opts Options, knobs Knobs, w work, throttle Throttler) (any, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	e := &engine{run: run, opts: opts, knobs: knobs, work: w, log: run.Log(), throttle: throttle}
	if run.DryRun() {
		return e.dryRun(ctx)
	}
	value, err := e.execute(ctx)
	return value, e.ends(ctx, err)
}

// execute is the run itself.
func (e *engine) execute(ctx context.Context) (any, error) {
	var ref *conn.Ref
	if err := e.tryAgain(ctx, func() (err error) { // the run's other connections have been made: who can't be reached now is gone for a while
		ref, err = e.run.Open(ctx, maxPool)
		return err
	}); err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := within(ctx, abortLimit)
		defer cancel()
		_ = ref.Release(ctx) // the server notices
	}()
	if err := e.connect(ref); err != nil {
		return nil, err
	}
	var err error
	if e.source, err = e.reader(ctx); err != nil {
		return nil, err
	}
	if open, ok := e.source.(io.Closer); ok {
		defer func() { _ = open.Close() }() // it was only read
	}
	signals := newSignals(ctx, e)
	// Whether there is a plan, and whose, is looked up each time.
	if err := e.tryAgain(ctx, func() error { return e.begin(ctx) }); err != nil {
		return nil, err
	}
	if e.pace, err = newPacer(e, signals); err != nil {
		return nil, err
	}
	if err := e.perform(ctx); err != nil {
		return e.summary(nil), err
	}
	return e.conclude(ctx)
}

// maxPool is how many connections the workers may use: as many as there may be workers. They are opened as needed.
const maxPool = pace.MaxWorkers + 2

// connect looks what the server can do.
func (e *engine) connect(ref *conn.Ref) error {
	if err := ref.Transactions(); err != nil {
		if !e.knobs.AtLeastOnce {
			return fmt.Errorf("a backfill does every document exactly once, which takes transactions; with --at-least-once it goes on without, "+
				"and a chunk that was cut off is done again: %w", err)
		}
		e.alone = true
		e.log.Warn("the server has no transactions: a chunk that is cut off will be done again, and its journal may list it twice")
	}
	e.use(ref.Client(), ref.DB())
	e.store = store.New(e.client.Database(e.run.HistoryDatabase()))
	e.walk = e.store.Walk(e.run.ID(), e.run.Epoch())
	e.seq.Store(store.FirstSequence(e.run.Epoch()))
	e.budget.left.Store(e.knobs.Limit)
	e.budget.limited = e.knobs.Limit > 0
	return nil
}

func (e *engine) use(client *mongo.Client, db *mongo.Database) {
	if e.opts.Database != "" {
		db = client.Database(e.opts.Database)
	}
	e.client = client
	e.coll = db.Collection(e.opts.Collection, options.Collection().
		SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary()))
}

// patience is how often something beside the chunks is tried that meets with trouble: half a minute, about, unless the lease is
// lost before.
const patience = 20

// tryAgain does what can be done any number of times until the trouble is over.
func (e *engine) tryAgain(ctx context.Context, do func() error) error {
	for tries := 1; ; tries++ {
		err := do()
		if err == nil || isStop(ctx, err) || tries == patience {
			return err
		}
		if v := judge(err); v != again && v != smaller && v != unknown {
			return err
		}
		e.log.Debug("trying again", "try", tries, "error", err)
		timer := time.NewTimer(backoff(tries))
		select {
		case <-timer.C:
		case <-e.run.Stopping():
			return e.asked()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// asked is why the run shall stop, once [rikki.Run.Stopping] says that it shall.
func (e *engine) asked() error {
	if err := e.run.Asked(); err != nil {
		return err
	}
	return rikki.ErrInterrupted
}

// begin takes the partitions over, or makes them.
func (e *engine) begin(ctx context.Context) error {
	_, err := e.walk.Plan(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	planned := err == nil
	if err := e.alike(ctx); err != nil {
		return err
	}
	if err := e.check(ctx); errors.Is(err, ErrCannotWalk) && planned { // it could when the run began
		return changed("put it right, and resume the run", "%w", err)
	} else if err != nil {
		return err
	}
	if err := e.store.EnsureBackfill(ctx); err != nil {
		return err
	}
	plan, err := e.takeOver(ctx)
	if err != nil {
		return err
	}
	if !plan.Planned {
		if plan, err = e.lay(ctx); err != nil {
			return err
		}
		point.Reached("plan.done")
	} else if err := e.unchanged(plan); err != nil {
		return err
	}
	e.plan, e.planned = plan, true
	e.run.HasPlace()
	if len(plan.Target.Collection.Data) == 0 && len(e.target.Collection.Data) > 0 {
		if err := e.walk.Aim(ctx, e.target.Collection); err != nil {
			return err
		}
	}
	if err := e.pin(ctx); err != nil {
		return err
	}
	parts, err := e.walk.Partitions(ctx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		e.counts.Add(p.Counts)
		if !p.Done {
			e.queue = append(e.queue, p)
		}
	}
	e.earlier = e.counts
	e.budget.left.Store(max(0, e.knobs.Limit-e.counts.Matched)) // an earlier attempt has used some of it
	e.total = plan.Total
	e.run.Progress().SetTotal(e.total)
	e.run.Progress().Begin(e.counts.Matched)
	e.count2run(e.counts)
	if e.run.Attempt() > 1 {
		e.log.Info("going on", "done", e.counts.Matched, "partitions_left", len(e.queue), "partitions", len(parts))
	}
	return nil
}

// unchanged refuses to go on with another collection or file than the one that the run began with.
func (e *engine) unchanged(plan store.Plan) error {
	if err := e.sameTarget(plan.Target); err != nil {
		return err
	}
	known, ok := e.source.(factual)
	if !ok {
		return nil
	}
	now, err := known.facts()
	if err != nil {
		return err
	}
	if string(now) != string(plan.Value) {
		return known.differ(plan.Value, now)
	}
	return nil
}

// check refuses what can't work, before the first write.
func (e *engine) check(ctx context.Context) error {
	e.aim()
	if err := e.source.check(ctx); err != nil {
		return err
	}
	if err := errors.Join(e.samePicked(), e.checkVerify()); err != nil {
		return err
	}
	return e.work.prepare(ctx, e)
}

// perform has workers go through the partitions until all are done or the run shall stop.
func (e *engine) perform(ctx context.Context) error {
	ctx, watched := e.watchWrites(ctx)
	defer watched()
	err := e.paced(ctx, func(waits context.Context) {
		var workers sync.WaitGroup
		e.pace.supervise(func(wanted int) bool {
			for e.startWorker(wanted) {
				workers.Go(func() { e.guarded(func() { e.worker(ctx, waits) }) })
			}
			return e.working()
		})
		workers.Wait()
	})
	if err != nil {
		return err
	}
	return e.tryAgain(ctx, func() error { return e.recount(ctx) })
}

// watchWrites tells the log what is written beside the transactions of chunks while these are done.
func (e *engine) watchWrites(ctx context.Context) (guarded context.Context, stop func()) {
	if e.alone {
		return ctx, func() {}
	}
	guarded, end := e.run.Guard(ctx)
	return guarded, func() {
		if stray := end(); len(stray) > 0 {
			e.log.Error("writes beside the transactions of the chunks: they did not use the context that the function got, "+
				"happen again whenever a chunk is tried again, and are not undone", "commands", stray)
		}
	}
}

// paced does work whose pace is watched meanwhile. The context that the work gets is for its waiting: it ends as soon as the run shall
// stop.
func (e *engine) paced(ctx context.Context, work func(waits context.Context)) error {
	waits, halt := context.WithCancelCause(ctx)
	defer halt(nil)
	e.halt = halt
	watched, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { e.pace.watch(watched) })
	func() {
		defer func() { unwatch(); watch.Wait() }()
		e.guarded(func() { work(waits) })
	}()
	e.run.Progress().SetMessage("")
	return e.stopped()
}

// startWorker counts one more worker in, if there shall be more and there is something to do.
func (e *engine) startWorker(wanted int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.active >= wanted || e.ended != nil || len(e.queue) == 0 || e.budget.spent() {
		return false
	}
	e.active++
	return true
}

func (e *engine) working() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active > 0
}

// take gives a worker the next partition, or tells it to end.
func (e *engine) take() (store.Partition, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended != nil || len(e.queue) == 0 || e.active > e.pace.workers() || e.budget.spent() {
		return store.Partition{}, false
	}
	p := e.queue[0]
	e.queue = e.queue[1:]
	return p, true
}

func (e *engine) putBack(p store.Partition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append([]store.Partition{p}, e.queue...)
}

// fail makes all workers stop. The first reason stays.
func (e *engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended == nil {
		e.ended = err
		e.halt(err)
	}
}

func (e *engine) stopped() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}
