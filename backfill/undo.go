package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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
	Run          string         `required:"true" placeholder:"RUN" help:"The ID of the run to undo."`
	Chunk        int            `min:"1" max:"10000" help:"Documents in a chunk (default: as many as take 100ms)."`
	Workers      int            `min:"1" max:"64" help:"Chunks at a time, where their order doesn't matter."`
	Rate         float64        `min:"0" help:"Documents a second at most; 0 for no limit."`
	MaxLag       *time.Duration `min:"0s" help:"How far secondaries may be behind (default 10s); 0s for no limit."`
	Gentle       string         `enum:"auto,always,never" help:"When to make room for others (default auto: while there are any)."`
	Unreadable   string         `enum:"wait,ignore" help:"What to do when the lag can't be told, as a member is down (default wait)."`
	IgnoreMember []string       `minItems:"1" placeholder:"HOST" help:"Members of the replica set whose lag doesn't matter."`
	Window       string         `placeholder:"22:00-05:00" pattern:"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]( .+)?$" help:"Only work at this time of day; an IANA zone may follow, else UTC."`
	MaxRuntime   time.Duration  `min:"1s" help:"Pause after this time."`
	Journal      string         `enum:"changed,full,ids,off" default:"changed" help:"How much is kept for an undo of the undo."`
	MaxFailures  int64          `min:"-1" help:"Pause when more documents than this can't be written (default 0: no limit); -1 to end at the first. Conflicts don't count."`
	AtLeastOnce  bool           `help:"Go on without transactions on a standalone server, where others must not write meanwhile."`
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
	undos, err := undosAround(ctx, s, run.ID)
	if err != nil {
		return err
	}
	for _, other := range undos {
		if other.HalfWay {
			if _, err := s.Seal(ctx, other.ID); err != nil {
				return fmt.Errorf("%w: the undo of %s: %w", ErrNoUndo, other.Parent, err)
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
	if err == nil && !run.DryRun() {
		err = past.hold(outside, history, run.ID())
	}
	if err != nil {
		return nil, err
	}
	if why := past.nothing(); why != "" {
		run.Log().Info("there is nothing to undo: "+why, "undoes", u.Run)
		return &Undone{Undoes: u.Run, Nothing: true, Summary: &Summary{}}, nil
	}
	opts := Options{
		Database: past.database, Collection: past.collection, Source: past, Workers: u.Workers,
		Journal: Journal(u.Journal), Chunk: u.Chunk, Rate: u.Rate, Gentle: Gentle(u.Gentle),
		Unreadable: Unreadable(u.Unreadable), IgnoreMembers: u.IgnoreMember,
		MaxFailures: cmp.Or(u.MaxFailures, math.MaxInt64), MaxFailureRate: noShare,
	}
	if u.MaxLag != nil {
		opts.MaxLag = limitOr(*u.MaxLag)
	}
	opts = opts.withDefaults()
	knobs := Knobs{Window: u.Window, MaxRuntime: u.MaxRuntime, AtLeastOnce: u.AtLeastOnce}
	w := &undoWork{past: past}
	if run.DryRun() {
		return w.dryRun(ctx, &engine{run: run, opts: opts, knobs: knobs, work: w, log: run.Log()})
	}
	value, err := execute(ctx, run, opts, knobs, w, nil)
	s, ok := value.(*Summary)
	if !ok {
		return nil, err
	}
	if n := w.unknown.Load(); n > 0 {
		run.Log().Warn("documents were being changed when their chunk was cut off: what others wrote to them since can't be told apart, and was replaced", "documents", n)
	}
	done := &Undone{Undoes: u.Run, Summary: s}
	if err == nil && s.Changed+s.Deleted+s.Written == 0 {
		done.Nothing = true
		run.Log().Info("there was nothing left to undo: all that the run changed is as it was before", "undoes", u.Run)
	}
	return done, err
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
