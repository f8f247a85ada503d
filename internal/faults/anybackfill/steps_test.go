//go:build linux

package anybackfill

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// follow does what people do after the run.
func (p *play) follow(ctx context.Context, t *tally) error {
	if p.main.id == "" {
		return nil
	}
	for _, s := range p.c.Steps {
		if p.vague {
			return nil
		}
		p.say("step %s %d", s.Do, s.Arg)
		var err error
		switch s.Do {
		case "undo":
			err = p.undo(ctx, s, t)
		case "undo-dry":
			err = p.undoDry(ctx)
		case "redo":
			err = p.redo(ctx, s)
		case "undo-redo":
			err = p.undoRedo(ctx, s)
		case "retry-failed":
			err = p.retryFailed(ctx, s)
		case "retry":
			err = p.retry(ctx)
		case "failed-of-other-key", "failed-of-other-collection":
			err = p.failedOf(ctx, s)
		case "mend":
			err = p.mendRules(ctx)
		case "prune":
			p.pruned = true
			err = p.prune(ctx)
		default:
			p.game.event(Event{Do: s.Do, Arg: s.Arg, On: "step"})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mendRules takes away what documents were refused for.
func (p *play) mendRules(ctx context.Context) error {
	if p.gone || p.hidden {
		return nil
	}
	p.strange = true
	if err := p.db.RunCommand(ctx, bson.D{{Key: "collMod", Value: "c"}, {Key: "validator", Value: bson.D{}}}).Err(); err != nil {
		return err
	}
	_, err := p.db.Collection("notes").DeleteMany(ctx, bson.D{})
	return err
}

func (p *play) undoable() bool {
	j := p.c.Knobs.Journal
	return j != "ids" && j != "off"
}

// final tells whether a run has ended for good.
func final(s rikki.State) bool { return s.Final() }

// undo undoes the run, and looks what became of the documents.
func (p *play) undo(ctx context.Context, s Step, t *tally) error {
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	wasHidden, wasGone := p.hidden, p.gone
	o, err := p.perform(ctx, "undo", s.Events, func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
		for _, e := range s.Events {
			if e.Do == "kill" {
				return p.child(ctx, childWork{Undo: p.main.id, UndoParams: *p.undoParams()}, e)
			}
		}
		return backfill.Undo(ctx, p.app, p.main.id, &rikki.RunOptions{Params: p.undoParams(), Observers: []rikki.Observer{observe}})
	})
	if err != nil {
		return err
	}
	after, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	if p.gone && !wasGone {
		return p.undoneWhileReplaced(after)
	}
	if o.res == nil && o.id == "" || errors.Is(o.err, backfill.ErrNoUndo) {
		return p.refusedUndo(o, before, after, wasHidden)
	}
	if o.state == rikki.Cancelled && disturbed(o.events, "cancel") {
		p.undid = true
		return p.halfUndone(before, after)
	}
	p.pruned = p.pruned || disturbed(o.events, "prune") && final(o.state) // for what follows; what this undo needs is kept
	done := o.state == rikki.Succeeded || o.state == rikki.SucceededWithErrors
	excused := p.gone || p.hidden || len(p.foreign) > 0 || p.pruned && !disturbed(o.events, "prune") || disturbed(o.events, "rename", "drop", "recreate", "replace")
	switch {
	case !done && !excused:
		return found("undo", "it is %s after %d tries: %v", o.state, o.tries, o.err)
	case o.state == rikki.SucceededWithErrors && !excused && len(p.retried) == 0:
		return found("undo", "it has conflicts, and nobody else has changed anything: %v%s", o.err, p.conflicts(ctx, o.id))
	}
	if p.gone {
		return p.undoneElsewhere(before, after)
	}
	if !done {
		return p.halfUndone(before, after)
	}
	t.undone++
	if p.redone {
		p.vague = true // what an undo means then is not promised
		return p.halfUndone(before, after)
	}
	p.undid = true
	if !equalAll(before.docs, after.docs) || !equalAll(before.other, after.other) {
		p.undoID, p.pre = o.id, before
	}
	if err := p.undone(before, after, o); err != nil {
		return err
	}
	return p.undoCounts(o)
}

func (p *play) undoParams() *backfill.UndoRun {
	return &backfill.UndoRun{Chunk: p.c.Knobs.Chunk, Gentle: "never", AtLeastOnce: p.c.Standalone}
}

func (p *play) conflicts(ctx context.Context, id string) string {
	var b strings.Builder
	n := 0
	for f, err := range backfill.Failures(ctx, p.app, id) {
		if err != nil || n == 3 {
			break
		}
		n++
		b.WriteString("\n  " + string(f.ID) + " " + f.Message)
	}
	return b.String()
}

func (p *play) undoCounts(o outcome) error {
	s := summaryOf(o.res)
	if s == nil || len(p.foreign) > 0 || p.strange || len(p.retried) > 0 {
		return nil
	}
	if s.Failed+s.Conflicts > 0 && o.state != rikki.SucceededWithErrors {
		return found("exit", "the undo %s with %s", o.state, asJSON(s))
	}
	return nil
}

// unwritten are the documents that nobody else has written.
func (p *play) unwritten(docs map[string]bson.Raw) map[string]bson.Raw {
	docs = maps.Clone(docs)
	maps.DeleteFunc(docs, func(key string, _ bson.Raw) bool { return p.foreign[key] })
	return docs
}

// refusedUndo looks whether it may be refused, and did nothing.
func (p *play) refusedUndo(o outcome, before, after snapshot, wasHidden bool) error {
	if !equalAll(p.unwritten(before.docs), p.unwritten(after.docs)) || !equalAll(before.other, after.other) {
		return found("undo", "it was refused (%v) and has changed something", o.err)
	}
	excused := !p.undoable() || !final(p.main.state) || p.pruned || p.undid || p.gone || p.hidden || wasHidden || disturbed(o.events, "rename", "drop", "recreate", "replace", "prune", "break", "break-reply") ||
		p.main.res == nil || p.refused
	if !excused {
		return found("undo", "it is refused: %v", o.err)
	}
	return nil
}

// undone looks at each document after an undo that has ended.
func (p *play) undone(before, after snapshot, o outcome) error {
	for key, first := range p.first {
		got, was := after.docs[key], before.docs[key]
		switch {
		case p.foreign[key]:
			if err := kept(was, got); err != nil && !p.twiceMaybe() && !again(o.events, got) {
				return err
			}
		case p.retried[key]:
			if !bytes.Equal(got, was) && !bytes.Equal(got, first) {
				return found("undo", "another run's change is spoilt\n  before %s\n  is     %s", show(was), show(got))
			}
		case !bytes.Equal(got, first):
			if len(p.foreign) > 0 && o.state == rikki.SucceededWithErrors && bytes.Equal(got, was) && p.unique() {
				continue // a unique index may be in the way
			}
			kind := "undo-bytes"
			if alike(fillTimestamps(first), fillTimestamps(got)) {
				kind = "undo-timestamp"
			}
			return found(kind, "the undo has ended as %s, and a document is not as it was\n  was     %s\n  run     %s\n  is      %s", o.state, show(first), show(was), show(got))
		}
	}
	for key, got := range after.docs {
		if _, there := p.first[key]; !there && !p.foreign[key] && !p.retried[key] {
			return found("undo-bytes", "a document is there that wasn't: %s", show(got))
		}
	}
	if err := p.falseConflicts(o); err != nil {
		return err
	}
	if len(p.retried) > 0 {
		return nil
	}
	if !equalAll(after.other, p.other) {
		return found("undo-bytes", "another collection is not as it was%s", difference(p.other, after.other))
	}
	return nil
}

// falseConflicts looks that conflicts are about documents that others have written.
func (p *play) falseConflicts(o outcome) error {
	if p.unique() || p.pruned || len(p.retried) > 0 {
		return nil
	}
	theirs := map[string]bool{}
	for key := range p.foreign {
		theirs[extOf(bson.RawValue{Type: bson.Type(key[0]), Value: []byte(key[1:])})] = true
	}
	for f, err := range backfill.Failures(context.Background(), p.app, o.id) {
		if err != nil {
			return nil
		}
		if !theirs[string(f.ID)] && strings.HasSuffix(f.Namespace, ".c") {
			return found("undo-conflict", "nobody else has written %s, and the undo says %s", f.ID, f.Message)
		}
	}
	return nil
}

func (p *play) unique() bool {
	for _, x := range p.made {
		if strings.Contains(x.Options, "unique") {
			return true
		}
	}
	return false
}

func difference(want, got map[string]bson.Raw) string {
	for key, d := range want {
		if !bytes.Equal(got[key], d) {
			return "\n  was " + show(d) + "\n  is  " + show(got[key])
		}
	}
	for key, d := range got {
		if want[key] == nil {
			return "\n  new " + show(d)
		}
	}
	return ""
}

// again tells whether others may have written what is there now while the undo was under way.
func again(events []Event, got bson.Raw) bool {
	if got == nil {
		return disturbed(events, "foreign-remove")
	}
	return disturbed(events, "foreign-set", "foreign-replace") && !got.Lookup("__foreign").IsZero()
}

// kept looks whether what others wrote after the run is still there.
func kept(was, got bson.Raw) error {
	if was == nil {
		return nil // others have removed it, or the run has
	}
	if v := was.Lookup("__foreign"); !v.IsZero() {
		if got == nil || !got.Lookup("__foreign").Equal(v) {
			return found("undo-foreign", "what somebody else wrote is gone\n  was %s\n  is  %s", show(was), show(got))
		}
	}
	return nil
}

// halfUndone looks at documents after an undo that was stopped for good: each is as it was before the run, or as the run left it.
func (p *play) halfUndone(before, after snapshot) error {
	for key, was := range before.docs {
		got, first := after.docs[key], p.first[key]
		if p.foreign[key] || p.retried[key] || bytes.Equal(got, was) || bytes.Equal(got, first) {
			continue
		}
		return found("undo-bytes", "a document is neither as before the undo nor as before the run\n  was     %s\n  run     %s\n  is      %s", show(first), show(was), show(got))
	}
	return nil
}

// undoneElsewhere looks that an undo leaves a collection alone that the run has not changed.
func (p *play) undoneElsewhere(before, after snapshot) error {
	p.vague = true
	for key, was := range before.docs {
		if d := p.forecast.docs[key]; d != nil && !p.foreign[key] && bytes.Equal(was, d.before) && !bytes.Equal(after.docs[key], was) {
			return found("undo-elsewhere", "the collection is another one, and the undo changed %s to %s", show(was), show(after.docs[key]))
		}
	}
	for key := range after.docs {
		if before.docs[key] == nil && !p.foreign[key] {
			return found("undo-elsewhere", "the collection is another one, and the undo has put %s there", show(after.docs[key]))
		}
	}
	return nil
}

// undoneWhileReplaced looks at a collection that somebody has put there during the undo: its documents are those of the beginning.
func (p *play) undoneWhileReplaced(after snapshot) error {
	p.vague = true
	for key, got := range after.docs {
		if !bytes.Equal(got, p.first[key]) && !p.foreign[key] {
			return found("undo-elsewhere", "the collection is another one, and the undo has changed %s to %s", show(p.first[key]), show(got))
		}
	}
	return nil
}

// undoDry looks that a dry run of an undo changes nothing.
func (p *play) undoDry(ctx context.Context) error {
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	within, stop := context.WithTimeout(ctx, mostTime)
	defer stop()
	_, dryErr := backfill.Undo(within, p.app, p.main.id, &rikki.RunOptions{Params: p.undoParams(), DryRun: true})
	p.say("   dry run of the undo: %v", dryErr)
	if within.Err() != nil {
		return found("no-end", "the dry run of an undo: %v", dryErr)
	}
	after, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	if !equalAll(before.docs, after.docs) || !equalAll(before.other, after.other) {
		return found("dry", "the dry run of the undo has changed something")
	}
	_, partial := errors.AsType[*rikki.PartialError](dryErr)
	if dryErr != nil && !partial && !errors.Is(dryErr, backfill.ErrNoUndo) && p.undoable() && final(p.main.state) && !p.gone && !p.hidden && !p.c.Standalone {
		return found("dry", "the dry run of the undo fails: %v", dryErr)
	}
	return nil
}

// redo undoes the undo.
func (p *play) redo(ctx context.Context, s Step) error {
	if p.undoID == "" || p.gone || p.hidden || p.redone {
		return nil
	}
	return p.back(ctx, "redo", p.undoID, s, p.pre, func(id string, before snapshot) { p.redone, p.redoID, p.pre = true, id, before })
}

// undoRedo undoes that.
func (p *play) undoRedo(ctx context.Context, s Step) error {
	if p.redoID == "" || p.gone || p.hidden {
		return nil
	}
	return p.back(ctx, "undo of the redo", p.redoID, s, p.pre, func(string, snapshot) { p.vague = true })
}

// back undoes an undo: documents are as they were before it.
func (p *play) back(ctx context.Context, what, id string, s Step, want snapshot, then func(string, snapshot)) error {
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	o, err := p.perform(ctx, what, s.Events, func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
		return backfill.Undo(ctx, p.app, id, &rikki.RunOptions{Params: p.undoParams(), Observers: []rikki.Observer{observe}})
	})
	if err != nil {
		return err
	}
	after, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	excused := p.pruned || len(p.foreign) > 0 || disturbed(o.events, "rename", "drop", "recreate", "replace", "cancel")
	if o.state != rikki.Succeeded {
		if !excused && !p.gone {
			return found("redo", "it is %s: %v", o.state, o.err)
		}
		p.vague = true
		return nil
	}
	for key, wanted := range want.docs {
		if got := after.docs[key]; !bytes.Equal(got, wanted) && !p.foreign[key] && !p.gone {
			return found("redo", "%s: a document is not as it was\n  was %s\n  undone %s\n  is  %s", what, show(wanted), show(before.docs[key]), show(got))
		}
	}
	then(o.id, before)
	return nil
}

// retryFailed tries the documents again that have failed.
func (p *play) retryFailed(ctx context.Context, s Step) error {
	if p.gone || p.hidden || !p.finished() {
		return nil
	}
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	record, err := backfill.RetryFailed(ctx, p.app, p.main.id, nil)
	if err != nil {
		p.say("   %v", err)
		if len(p.fails) > 0 && !errors.Is(err, rikki.ErrState) {
			return found("retry-failed", "%v", err)
		}
		return nil
	}
	o, err := p.perform(ctx, "retry of what failed", s.Events, func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
		return p.app.Continue(ctx, record.ID, &rikki.RunOptions{Observers: []rikki.Observer{observe}})
	})
	if err != nil {
		return err
	}
	return p.judgeRetried(ctx, "retry-failed", before, o)
}

// judgeRetried looks that only those were changed that had failed, and each once.
func (p *play) judgeRetried(ctx context.Context, kind string, before snapshot, o outcome) error {
	if p.gone { // meanwhile
		p.vague = true
		return nil
	}
	after, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	for key, was := range before.docs {
		got := after.docs[key]
		if bytes.Equal(got, was) || p.foreign[key] {
			continue
		}
		first := p.first[key]
		if _, failed := p.failureOf(first); !failed && !p.forecast.rows {
			return found(kind, "a document that had not failed was changed\n  was %s\n  is  %s", show(was), show(got))
		}
		if !bytes.Equal(was, first) && !p.forecast.rows {
			return found(kind, "a document was changed twice\n  first %s\n  was   %s\n  is    %s", show(first), show(was), show(got))
		}
		p.retried[key] = true
	}
	if p.forecast.rows || !equalAll(before.other, after.other) {
		p.vague = true
	}
	p.say("   %s: %s %v", kind, o.state, o.err)
	return nil
}

// retry repeats a run that has not come to its end: what it has done it must not do again.
func (p *play) retry(ctx context.Context) error {
	if p.gone || p.hidden || p.finished() || !final(p.main.state) {
		return nil
	}
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	record, err := p.app.Retry(ctx, p.main.id, nil)
	if err != nil {
		p.say("   %v", err)
		return nil
	}
	o, err := p.perform(ctx, "retry", nil, func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
		return p.app.Continue(ctx, record.ID, &rikki.RunOptions{Observers: []rikki.Observer{observe}})
	})
	if err != nil {
		return err
	}
	p.say("   %s %v", o.state, o.err)
	after, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	p.vague = true
	for key, was := range before.docs {
		d := p.forecast.docs[key]
		if d != nil && !p.foreign[key] && !bytes.Equal(was, d.before) && !bytes.Equal(was, after.docs[key]) {
			return found("twice", "the run was repeated, and what it had done was done again\n  before %s\n  run    %s\n  is     %s", show(d.before), show(was), show(after.docs[key]))
		}
	}
	return nil
}

// failedOf runs the script for what failed, by another key or in another collection.
func (p *play) failedOf(ctx context.Context, s Step) error {
	if p.gone || p.hidden || !p.finished() || len(p.fails) == 0 || p.forecast.rows {
		return nil
	}
	name, params := p.c.scriptOf(p.dir)
	delete(params, "limit")
	delete(params, "only")
	params["failed-of"] = p.main.id
	if s.Do == "failed-of-other-collection" {
		var docs []bson.Raw
		for _, d := range p.first {
			docs = append(docs, d)
		}
		if err := p.db.Collection("d").Drop(ctx); err != nil {
			return err
		}
		if _, err := seed(ctx, p.db, "d", &p.c.Coll, docs); err != nil {
			return err
		}
		indexes(ctx, p.db, "d", &p.c.Coll)
		params["collection"] = "d"
	} else {
		key := "_id"
		if p.c.Knobs.Key == "" {
			key = "k"
		}
		if name == backfill.AdHocName {
			params["key"] = key
		} else {
			params["key-field"] = key
		}
	}
	before, err := p.snapshot(ctx)
	if err != nil {
		return err
	}
	o, err := p.perform(ctx, s.Do, nil, func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
		return p.app.Run(ctx, name, &rikki.RunOptions{Params: params, Observers: []rikki.Observer{observe}})
	})
	if err != nil {
		return err
	}
	if s.Do == "failed-of-other-collection" {
		d, err := bytesOf(ctx, p.db.Collection("d"))
		if err != nil {
			return err
		}
		if !equalAll(d, p.first) {
			return found("failed-of", "documents of another collection were changed%s", difference(p.first, d))
		}
		return nil
	}
	return p.judgeRetried(ctx, "failed-of", before, o)
}

// fillTimestamps makes all timestamps at the top the same.
func fillTimestamps(d bson.Raw) bson.Raw {
	out := append(bson.Raw(nil), d...)
	elements, _ := out.Elements()
	for _, e := range elements {
		if v := e.Value(); v.Type == bson.TypeTimestamp {
			copy(v.Value, []byte{1, 1, 1, 1, 1, 1, 1, 1})
		}
	}
	return out
}
