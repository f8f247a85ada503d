package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// UndoName is the name of the script whose runs undo others.
const UndoName = "undo-run"

// UndoRun undoes a run from its journal. It needs nothing of the script that was run. Its fields are its parameters.
type UndoRun struct {
	Run         string         `required:"true" placeholder:"RUN" help:"The ID of the run to undo."`
	Chunk       int            `min:"1" max:"10000" help:"Documents in a chunk (default: as many as take 100ms)."`
	Rate        float64        `min:"0" help:"Documents a second at most; 0 for no limit."`
	MaxLag      *time.Duration `min:"0s" help:"How far secondaries may be behind (default 10s); 0s for no limit."`
	Gentle      string         `enum:"auto,always,never" help:"When to make room for others (default auto: while there are any)."`
	Window      string         `placeholder:"22:00-05:00" pattern:"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]( .+)?$" help:"Only work at this time of day; an IANA zone may follow, else UTC."`
	MaxRuntime  time.Duration  `min:"1s" help:"Pause after this time."`
	Journal     string         `enum:"changed,full,ids,off" default:"changed" help:"How much is kept for an undo of the undo."`
	AtLeastOnce bool           `help:"Go on without transactions on a standalone server, where others must not write meanwhile."`
}

// CheckParams implements [params.Checker].
func (u *UndoRun) CheckParams() error { return params.Join(checkWindow(u.Window), checkRate(u.Rate)) }

// NeedsRuns names the runs that are not pruned before this one is over.
func (u *UndoRun) NeedsRuns() []string { return []string{u.Run} }

// NewUndo returns the script that [Undo] runs. A program that resumes or serves undos must know it.
func NewUndo() rikki.Script { return &UndoRun{} }

// Undone is the result of an undo.
type Undone struct {
	// Undoes is the run that was undone.
	Undoes string `json:"undoes"`
	// Nothing says that there was nothing to do: the run had changed nothing, or all of it was undone before.
	Nothing bool `json:"nothing_to_undo,omitempty"`
	*Summary
}

// Undo takes back what a run has changed, the last change first, wherever what the
// run left is still there. What others have changed since stays, and is recorded as a
// failure of the undo: it is a [*rikki.PartialError] then. The undo is a run of its
// own, whose Parent is the one that it undoes; it can be paused, resumed, and undone.
//
// The error is [ErrNoUndo] if the run can't be undone. opts.Params may be an
// [*UndoRun], whose Run is replaced.
func Undo(ctx context.Context, app *rikki.App, run string, opts *rikki.RunOptions) (*rikki.Result, error) {
	o, err := prepareUndo(ctx, app, run, opts)
	if err != nil {
		return nil, err
	}
	return app.Run(ctx, UndoName, o)
}

// QueueUndo is like [Undo] but leaves the work to a process that serves the queue,
// and returns the ID of the undo. That process must know the script [NewUndo], as
// every program of package cli does.
func QueueUndo(ctx context.Context, app *rikki.App, run string, opts *rikki.RunOptions) (string, error) {
	o, err := prepareUndo(ctx, app, run, opts)
	if err != nil {
		return "", err
	}
	return app.Enqueue(ctx, UndoName, o)
}

func prepareUndo(ctx context.Context, app *rikki.App, run string, opts *rikki.RunOptions) (*rikki.RunOptions, error) {
	o := rikki.RunOptions{}
	if opts != nil {
		o = *opts
	}
	p := UndoRun{}
	if o.Params != nil {
		given, ok := o.Params.(*UndoRun)
		if !ok {
			return nil, fmt.Errorf("parameters of an undo: got a %T; pass a *backfill.UndoRun", o.Params)
		}
		p = *given
	}
	record, err := app.Record(ctx, run)
	if err != nil {
		return nil, err
	}
	err = app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
		_, err := examine(ctx, store.New(db), record.ID, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := app.Script(UndoName); err != nil {
		if err := app.Add(NewUndo()); err != nil {
			return nil, err
		}
	}
	p.Run = record.ID
	o.Params, o.Parent, o.Trigger = &p, record.ID, store.TriggerUndo
	return &o, nil
}

// seal keeps a run that has failed half-way from going on behind what is undone.
func seal(ctx context.Context, s *store.Store, id string) error {
	run, err := s.Seal(ctx, id)
	switch {
	case errors.Is(err, store.ErrTransition):
		return fmt.Errorf("%w: %w", ErrNoUndo, err)
	case errors.Is(err, store.ErrNotFound):
		return nil // examine tells of it
	case err != nil:
		return err
	}
	// An earlier undo that failed half-way is gone on with by this one.
	children, err := s.Children(ctx, run.ID)
	if err != nil {
		return err
	}
	for _, child := range children {
		if child.Script == UndoName && child.HalfWay {
			if _, err := s.Seal(ctx, child.ID); err != nil {
				return fmt.Errorf("%w: another undo of %s: %w", ErrNoUndo, run.ID, err)
			}
		}
	}
	return nil
}

// undoable refuses what can't be undone by its state.
func undoable(run store.Run) error {
	id, state := run.ID, run.State
	switch {
	case run.DryRun && run.Script == UndoName && run.Parent != "":
		return fmt.Errorf("%w: %s was a dry run of the undo of %s; undo that one", ErrNoUndo, run.ID, run.Parent)
	case run.DryRun:
		return fmt.Errorf("%w: %s was a dry run, which changed nothing", ErrNoUndo, id)
	case state.Active():
		return fmt.Errorf("%w: %s is %s: cancel it, or wait until it has ended", ErrNoUndo, id, state)
	case !state.Final():
		return fmt.Errorf("%w: %s is %s and could go on later, behind what was undone; cancel it first", ErrNoUndo, id, state)
	}
	return nil
}

// Options implements [rikki.Configured].
func (*UndoRun) Options() rikki.Options {
	return rikki.Options{
		Name: UndoName, Description: "Takes back what a backfill has changed, from its journal.", Hidden: true,
		Timeout: -1, Concurrency: -1, Resumable: true, NeedsHistory: true, Drain: defaultDrain,
	}
}

// Execute implements [rikki.Script].
func (u *UndoRun) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	if run.HistoryDatabase() == "" {
		return nil, fmt.Errorf("%w, and an undo reads the journal there", rikki.ErrNoHistory)
	}
	// What a dry run reads to find its way needs no part in its transaction.
	outside, history := mongo.NewSessionContext(ctx, nil), store.New(run.Client().Database(run.HistoryDatabase()))
	if !run.DryRun() {
		if err := seal(outside, history, u.Run); err != nil {
			return nil, err
		}
	}
	past, err := examine(outside, history, u.Run, run.ID())
	if err == nil {
		err = past.measure(outside, history)
	}
	if err != nil {
		return nil, err
	}
	if why := past.nothing(); why != "" {
		run.Log().Info("there is nothing to undo: "+why, "undoes", u.Run)
		return &Undone{Undoes: u.Run, Nothing: true, Summary: &Summary{}}, nil
	}
	opts := Options{
		Database: past.database, Collection: past.collection, Source: past, Workers: 1,
		Journal: Journal(u.Journal), Chunk: u.Chunk, Rate: u.Rate, Gentle: Gentle(u.Gentle),
	}
	if u.MaxLag != nil {
		opts.MaxLag = limitOr(*u.MaxLag)
	}
	opts = opts.withDefaults()
	knobs := Knobs{Window: u.Window, MaxRuntime: u.MaxRuntime, AtLeastOnce: u.AtLeastOnce}
	w := &undoWork{past: past, others: map[string]*mongo.Collection{}}
	if run.DryRun() {
		return w.dryRun(ctx, &engine{run: run, opts: opts, knobs: knobs, work: w, log: run.Log()})
	}
	value, err := execute(ctx, run, opts, knobs, w, nil)
	s, ok := value.(*Summary)
	if !ok {
		return nil, err
	}
	done := &Undone{Undoes: u.Run, Summary: s}
	if err == nil && s.Changed+s.Deleted+s.Written == 0 {
		done.Nothing = true
		run.Log().Info("there was nothing left to undo: all that the run changed is as it was before", "undoes", u.Run)
	}
	return done, err
}

// pastRun is a run that is undone: the items of the undo are the changes in its journal.
type pastRun struct {
	run                  store.Run
	database, collection string
	total, journal       int64 // changes, and bytes
	prior                *priorUndo
}

// nothing tells why there is nothing to undo, or "".
func (p *pastRun) nothing() string {
	switch {
	case p.total == 0:
		return "the run has changed nothing"
	case p.prior.complete():
		return "it was undone already, by " + p.prior.run
	}
	return ""
}

// examine looks whether a run can be undone.
func examine(ctx context.Context, s *store.Store, id, self string) (*pastRun, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := undoable(run); err != nil {
		return nil, err
	}
	walk := s.Walk(run.ID, 0)
	if _, err := walk.Partition(ctx, store.PlanNumber); errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: there is no journal of %s; either its script %s is no backfill, or it was pruned", ErrNoUndo, run.ID, run.Script)
	} else if err != nil {
		return nil, err
	}
	parts, err := walk.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	var counts store.Counts
	for _, p := range parts {
		counts.Add(p.Counts)
	}
	past := &pastRun{run: run, journal: counts.Journal, total: counts.Changed + counts.Deleted + counts.Written}
	if past.total == 0 && counts.Journal == 0 {
		return past, nil
	}
	if counts.Journal == 0 {
		return nil, fmt.Errorf("%w: %s kept no journal (its mode was off)", ErrNoUndo, run.ID)
	}
	if err := refuseSecond(ctx, s, run.ID, self); err != nil {
		return nil, err
	}
	if past.prior, err = findPrior(ctx, s, run.ID, self); err != nil {
		return nil, err
	}
	return past, past.look(ctx, s)
}

// measure looks whether all of the journal is there. That takes a while for a large one.
func (p *pastRun) measure(ctx context.Context, s *store.Store) error {
	if p.journal == 0 || p.nothing() != "" {
		return nil
	}
	_, bytes, err := s.JournalSize(ctx, p.run.ID)
	if err == nil && bytes < p.journal {
		err = fmt.Errorf("%w: the journal of %s was pruned: %d of its %d bytes are left", ErrNoUndo, p.run.ID, bytes, p.journal)
	}
	return err
}

// look finds out from the journal's end which collection it is about, and whether it holds enough.
func (p *pastRun) look(ctx context.Context, s *store.Store) error {
	last, err := readSequence(ctx, s, store.JournalID{Run: p.run.ID})
	if err != nil {
		return err
	}
	if len(last.entries) == 0 {
		return fmt.Errorf("%w: the journal of %s was pruned", ErrNoUndo, p.run.ID)
	}
	if last.entries[0].IDOnly {
		return fmt.Errorf("%w: the journal of %s has only the _ids of what it changed (its mode was ids)", ErrNoUndo, p.run.ID)
	}
	var ok bool
	if p.database, p.collection, ok = cutNamespace(last.ns); !ok {
		return fmt.Errorf("%w: the journal of %s doesn't say which collection it is about: %q", ErrNoUndo, p.run.ID, last.ns)
	}
	return nil
}

func (*pastRun) kind() string { return "journal" }

// reader implements [Source].
func (p *pastRun) reader(e *engine) (reader, error) { return &pastReader{p, e}, nil }

// pastReader makes the plan of an undo. What it undoes, undoWork reads.
type pastReader struct {
	past *pastRun
	e    *engine
}

// check refuses to write to what took the collection's place.
func (r *pastReader) check(ctx context.Context) error {
	_, err := r.e.writable(ctx) // where it was dropped, documents that were deleted make it again
	return err
}

// plan makes sure that the run that is undone doesn't write any more: its process may have been declared dead and live on.
func (r *pastReader) plan(ctx context.Context) ([]store.Partition, int64, error) {
	epoch := r.past.run.Lease.Epoch + 1
	if _, err := takeOver(ctx, r.e.client, r.e.store.Walk(r.past.run.ID, epoch), epoch, r.e.log); err != nil {
		return nil, 0, err
	}
	return []store.Partition{{}}, r.past.total, nil
}

func (r *pastReader) read(context.Context, store.Partition, int, int) (batch, error) {
	return batch{}, errors.New("a journal can only be undone")
}

// where is the place in a journal: of the sequence, so many entries are left to be undone. The cursor of an undo holds it.
type where struct {
	Seq  int64 `bson:"s"`
	Left int   `bson:"left"`
}

func (w where) value() bson.RawValue {
	data, err := bson.Marshal(w)
	if err != nil {
		return bson.RawValue{} // two numbers can be encoded
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: data}
}
