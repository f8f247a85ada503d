//go:build linux

package anybackfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// tally counts what was seen, so that a judge that lets everything pass is noticed.
type tally struct {
	cases, runs, refused, changed, undone, failures, events int
	why                                                     map[string]int // of refusals
}

// play does all of a case and judges it.
func (c *Case) play(ctx context.Context, client *mongo.Client, uri, hist, name string, t *tally) (log []string, err error) {
	dir, err := os.MkdirTemp("", "anybackfill")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a directory of the system's temporary one
	own := hist + "_" + name
	if !c.prunes() {
		own = hist
	}
	g := &game{c: c, client: client, db: client.Database(name), uri: uri, hist: own, dir: dir, foreign: map[string]bool{}, wire: &wire{}}
	live.Store(dir, &lively{Case: c, dir: dir, seen: map[string]bool{}})
	defer live.Delete(dir)
	g.watch = &watcher{do: g.event, wire: g.wire}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		log = g.log
		if g.app != nil {
			if closed := g.app.Close(ctx); closed != nil && err == nil {
				err = found("close", "%v", closed)
			}
		}
		if err == nil {
			err = g.nothingLeft(ctx)
		}
		_ = g.db.Drop(ctx) // a database of the case's own
		if own != hist {
			_ = g.client.Database(own).Drop(ctx)
		}
	}()
	began := time.Now()
	if err := g.setUp(ctx); err != nil {
		return nil, fmt.Errorf("set-up: %w", err)
	}
	g.say("set up in %s", time.Since(began).Round(time.Millisecond))
	g.uri = withOptions(uri, c.URI)
	if g.app, err = newApp(g.config()); err != nil {
		return nil, err
	}
	return nil, g.story(ctx, t)
}

func (c *Case) prunes() bool {
	does := func(e Event) bool { return e.Do == "prune" }
	return slices.ContainsFunc(c.Events, does) || slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Do == "prune" || slices.ContainsFunc(s.Events, does) })
}

// story is the case from the dry run to the last step.
func (g *game) story(ctx context.Context, t *tally) error {
	var dryErr error
	if g.c.Dry {
		var err error
		if dryErr, err = g.dry(ctx); err != nil {
			return err
		}
	}
	o, err := g.perform(ctx, "the run", g.c.Events, g.main)
	if err == nil {
		err = g.wrong
	}
	if err != nil {
		return err
	}
	after, err := g.snapshot(ctx)
	if err != nil {
		return err
	}
	t.runs++
	t.events += len(o.events)
	p := &play{game: g, main: o, after: after, retried: map[string]bool{}}
	if err := p.judgeMain(ctx, t); err != nil {
		return err
	}
	if err := p.judgeDry(dryErr); err != nil {
		return err
	}
	return p.follow(ctx, t)
}

// play is what is known behind the run.
type play struct {
	*game
	main    outcome
	after   snapshot // behind the run
	fails   map[string]backfill.Failure
	undoID  string // of the undo that is in effect
	undid   bool
	redoID  string
	pre     snapshot // before that undo
	retried map[string]bool
	pruned  bool
	vague   bool // nothing more is known
	redone  bool
	refused bool // the run changed nothing
}

func disturbed(events []Event, words ...string) bool {
	return slices.ContainsFunc(events, func(e Event) bool { return slices.Contains(words, e.Do) })
}

func (p *play) finished() bool {
	return p.main.state == rikki.Succeeded || p.main.state == rikki.SucceededWithErrors
}

// judgeMain looks at what the run has left.
func (p *play) judgeMain(ctx context.Context, t *tally) error {
	f, o := p.forecast, p.main
	changedAny := !equalAll(p.after.docs, p.first)
	harmful := disturbed(o.events, "rename", "drop", "recreate", "replace", "drop-index", "swap-index", "foreign-k", "validator", "cancel")
	switch {
	case o.res == nil && o.id == "", o.state == rikki.Failed && !changedAny:
		t.refused++
		p.refused = true
		t.why[strings.ReplaceAll(reasonOf(o.err), p.db.Name(), "db")]++
		if f.unsure == "" && !harmful && !p.c.killed() && p.c.URI == "" && !disturbed(o.events, "break", "break-reply") {
			return found("refused", "nothing speaks against it: %v", o.err)
		}
	case o.state == rikki.Failed && p.c.Script.Again && strings.Contains(fmt.Sprint(o.err), "verif"):
		if !strings.Contains(fmt.Sprint(o.err), "reading") {
			return found("verify", "all is changed, and then it fails: %v", o.err)
		}
	case o.state == rikki.Failed && !harmful && f.unsure == "":
		return found("failed", "half-way: %v", o.err)
	case o.state == rikki.Failed && disturbed(o.events, "drop-index", "rename") && !disturbed(o.events, "drop", "recreate", "replace", "swap-index", "foreign-k") && f.unsure == "":
		return found("no-way-back", "what was wrong for a moment was put right, and the run can't go on: %v", o.err)
	case o.state == rikki.Paused || o.state == rikki.Interrupted:
		if !harmful && f.unsure == "" {
			return found("stuck", "it is %s after %d tries: %v", o.state, o.tries, o.err)
		}
	case o.state == rikki.Cancelled && !disturbed(o.events, "cancel"):
		return found("exit", "it is cancelled, and nobody has asked for that: %v", o.err)
	}
	if o.id == "" {
		if changedAny && len(p.foreign) == 0 && !p.gone {
			return found("changed", "it was refused and has changed documents")
		}
		return nil
	}
	if err := p.readFailures(ctx); err != nil {
		return err
	}
	t.failures += len(p.fails)
	if p.gone {
		return p.judgeGone()
	}
	if err := p.refusedRows(); err != nil {
		return err
	}
	if err := p.judgeDocs(t); err != nil {
		return err
	}
	if err := p.judgeFields(); err != nil {
		return err
	}
	if err := p.judgeOther(); err != nil {
		return err
	}
	return p.judgeCounts()
}

func (c *Case) killed() bool { return disturbed(c.Events, "kill") }

func reasonOf(err error) string {
	if err == nil {
		return "?"
	}
	text := err.Error()
	return text[:min(len(text), 110)]
}

// readFailures are those that the run has recorded.
func (p *play) readFailures(ctx context.Context) error {
	p.fails = map[string]backfill.Failure{}
	for failure, err := range backfill.Failures(ctx, p.app, p.main.id) {
		if err != nil {
			if errors.Is(err, rikki.ErrNotFound) {
				return nil
			}
			return err
		}
		p.fails[extKey(failure.ID)] = failure
	}
	return nil
}

// extKey is a key in one form of extended JSON.
func extKey(text json.RawMessage) string { return string(text) }

func extOf(v bson.RawValue) string {
	data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, true, false)
	if err != nil {
		return ""
	}
	var doc struct{ V json.RawMessage }
	if json.Unmarshal(data, &doc) != nil {
		return ""
	}
	return string(doc.V)
}

// failureOf is what was recorded of a document.
func (p *play) failureOf(before bson.Raw) (backfill.Failure, bool) {
	key := p.c.Knobs.Key
	if key == "" || len(p.c.Knobs.Only) > 0 { // which are _ids, and are walked by
		key = "_id"
	}
	v := before.Lookup(key)
	if v.IsZero() {
		v = bson.RawValue{Type: bson.TypeNull}
	}
	f, ok := p.fails[extOf(v)]
	return f, ok
}

// refusedRows leaves out of what shall be the rows that a validator refused, which came half-way: of these failures are recorded by the
// keys of the rows, and each must be of one.
func (p *play) refusedRows() error {
	if !p.forecast.rows || p.forecast.unsure != "" || p.c.Script.Source != "items" || !p.finished() || len(p.fails) == 0 || !disturbed(p.main.events, "validator") {
		return nil
	}
	var rest []Row
	for _, r := range p.c.Script.Rows {
		kind, data, err := bson.MarshalValue(r.Key)
		if err != nil {
			return err
		}
		if f, failed := p.fails[extOf(bson.RawValue{Type: kind, Value: data})]; !failed {
			rest = append(rest, r)
		} else if !strings.Contains(f.Message, "failed validation") {
			return found("reason", "the row with the key %d failed: %s", r.Key, f.Message)
		}
	}
	state, err := outcomeOf(rest, p.first)
	if err != nil {
		return err
	}
	for key, d := range p.forecast.docs {
		if doc, ok := state[key]; !ok {
			d.after = nil
		} else if d.after, err = bson.Marshal(doc); err != nil {
			return err
		}
	}
	return nil
}

// judgeDocs looks at each document.
func (p *play) judgeDocs(t *tally) error {
	anybody := p.forecast.unsure != "" || p.strange || disturbed(p.main.events, "foreign-insert", "foreign-n", "foreign-k")
	for key, d := range p.forecast.docs {
		got := p.after.docs[key]
		failure, failed := p.failureOf(d.before)
		isBefore, isAfter := bytes.Equal(got, d.before), d.match != no && p.isAfter(d, got)
		if err := p.judgeOnce(d, got); err != nil {
			return err
		}
		if p.foreign[key] {
			continue
		}
		if !isBefore {
			t.changed++
		}
		switch {
		case !isBefore && !isAfter && d.match == no:
			return found("changed", "a document that doesn't match was changed\n  before %s\n  is     %s", show(d.before), show(got))
		case !isBefore && !isAfter && p.twiceMaybe():
		case !isBefore && !isAfter:
			return found("wrong", "a document is neither as before nor as it shall be\n  before %s\n  should %s\n  is     %s\n  act %s", show(d.before), show(d.after), show(got), asJSON(d.act))
		case !isBefore && failed && !p.twiceMaybe() && !p.forecast.rows && d.match == yes && len(p.keysLike(d.before)) < 2:
			return found("failed-and-changed", "%s is recorded as failed (%s), and was changed\n  is %s", show(d.before), failure.Message, show(got))
		case failed && d.fails == no && !p.twiceMaybe() && !p.strange && !p.forecast.rows && (p.forecast.unsure == "" || d.match == yes && p.forecast.unsure != "the key changes") && !anybody:
			return found("healthy-failed", "%s is recorded as failed, and nothing is wrong with it: %s", show(d.before), failure.Message)
		case failed && d.fails == yes && d.why != "" && !p.strange && (d.act == nil || !strings.HasSuffix(d.act.Do, "-set")) && !reasonFits(d.why, failure.Message):
			return found("reason", "%s failed with %q, and the server says %q", show(d.before), failure.Message, d.why)
		}
		if !p.finished() || d.match != yes {
			continue
		}
		if d.fails == yes && !failed && !p.forecast.rows {
			return found("failure-not-recorded", "%s can't be changed (%s), and no failure is recorded", show(d.before), d.why)
		}
		if isBefore && !isAfter && d.fails != yes && !failed && !p.forecast.rows {
			return found("skipped", "a document that matches was not changed, and nothing is recorded\n  is     %s\n  should %s\n  act %s", show(got), show(d.after), asJSON(d.act))
		}
		if p.forecast.rows && isBefore && !isAfter && d.fails == no {
			return found("skipped", "the rows were not done: is %s, should be %s", show(got), show(d.after))
		}
	}
	for key, got := range p.after.docs {
		if p.forecast.docs[key] == nil && !p.foreign[key] {
			return found("changed", "there is a document that nobody has written: %s", show(got))
		}
	}
	return nil
}

// twiceMaybe tells whether a chunk may have been done twice, as is said of standalone servers whose answers get lost, and others mustn't write then.
func (p *play) twiceMaybe() bool {
	return p.c.Standalone && (len(p.main.events) > 0 || p.c.killed())
}

// judgeOnce looks at the counter that scripts raise: whatever others do to a document, it is raised once.
func (p *play) judgeOnce(d *fate, got bson.Raw) error {
	if !strings.Contains(p.c.Script.Update, "__n") || d.before.Lookup("__n").Type != 0 || got == nil || p.c.Knobs.Key != "" && disturbed(p.main.events, "foreign-k") {
		return nil
	}
	if n, ok := got.Lookup("__n").AsInt64OK(); ok && n > 1 && p.forecast.unsure != "stages" && !p.twiceMaybe() {
		return found("twice", "a document was changed %d times: %s", n, show(got))
	}
	return nil
}

func (p *play) keysLike(before bson.Raw) (n []string) {
	if p.c.Knobs.Key == "" {
		return nil
	}
	v := before.Lookup(p.c.Knobs.Key)
	for key, d := range p.forecast.docs {
		if d.before.Lookup(p.c.Knobs.Key).Equal(v) {
			n = append(n, key)
		}
	}
	return n
}

func (p *play) isAfter(d *fate, got bson.Raw) bool {
	return alike(d.after, got) || slices.ContainsFunc(d.alts, func(alt bson.Raw) bool { return alike(alt, got) })
}

// reasonFits tells whether a failure says what the server says.
func reasonFits(want, got string) bool {
	for _, word := range []string{"failed validation", "duplicate key", "positional operator", "panic", errBad.Error()} {
		if strings.Contains(want, word) {
			return strings.Contains(got, word)
		}
	}
	return !strings.Contains(got, "positional operator") && !strings.Contains(got, "failed validation")
}

// judgeFields looks whether only those have changed that may.
func (p *play) judgeFields() error {
	if len(p.c.Knobs.Fields) == 0 || p.forecast.rows {
		return nil
	}
	for key, before := range p.first {
		if p.foreign[key] {
			continue
		}
		got := p.after.docs[key]
		if got == nil {
			return found("guard", "only %v may change, and %s was deleted", p.c.Knobs.Fields, show(before))
		}
		for _, name := range changedFields(before, got) {
			if !slices.Contains(p.c.Knobs.Fields, name) {
				return found("guard", "only %v may change, and %s changed\n  before %s\n  is     %s", p.c.Knobs.Fields, name, show(before), show(got))
			}
		}
	}
	return nil
}

func changedFields(a, b bson.Raw) (names []string) {
	values := func(d bson.Raw) map[string]string {
		out := map[string]string{}
		elements, _ := d.Elements()
		for _, e := range elements {
			out[e.Key()] += string(e)
		}
		return out
	}
	x, y := values(a), values(b)
	for name := range x {
		if x[name] != y[name] {
			names = append(names, name)
		}
	}
	for name := range y {
		if _, there := x[name]; !there {
			names = append(names, name)
		}
	}
	return names
}

// judgeOther looks at the other collections.
func (p *play) judgeOther() error {
	if len(p.c.Script.Acts) == 0 {
		if !equalAll(p.after.other, p.other) {
			return found("other", "another collection was changed")
		}
		return nil
	}
	if len(p.foreign) > 0 || p.c.Script.Stages != "" {
		return nil
	}
	updates := 0
	for _, d := range p.forecast.docs {
		id := d.before.Lookup("_id")
		if d.act == nil {
			d.act = p.c.actOf(id)
		}
		key, _ := bson.Marshal(bson.D{{Key: "_id", Value: alsoID(id)}})
		_, there := p.after.other[keyOf(key)]
		_, failed := p.failureOf(d.before)
		isAfter := p.isAfter(d, p.after.docs[keyOf(d.before)])
		switch d.act.Do {
		case "also", "set-also":
			wanted := d.match == yes && !failed && isAfter
			if p.finished() && wanted && !there || there && failed {
				return found("other", "%s: what is written with it is there: %v, and it failed: %v", show(d.before), there, failed)
			}
		case "also-fail":
			if there {
				return found("other", "%s failed, and what is written with it is there", show(d.before))
			}
		case "also-update":
			if d.match == yes && !failed && p.finished() {
				updates++
			}
		}
	}
	return p.judgeUpdates(updates)
}

func (p *play) judgeUpdates(updates int) error {
	if p.forecast.matched < 0 || !p.finished() || updates == 0 || slices.ContainsFunc(p.c.Script.Acts, func(a Act) bool { return a.Do == "also-delete" }) {
		return nil
	}
	for key, d := range p.after.other {
		if id, ok := d.Lookup("_id").Int32OK(); !ok || id != 0 || p.other[key] == nil {
			continue
		}
		if n, _ := d.Lookup("m").AsInt64OK(); n != int64(updates) {
			return found("other", "another document was updated %d times, and %d are right", n, updates)
		}
	}
	return nil
}

// judgeGone looks at a collection that was replaced or dropped meanwhile.
func (p *play) judgeGone() error {
	total := 0
	for _, d := range p.forecast.docs {
		if d.match == yes {
			total++
		}
	}
	s := summaryOf(p.main.res)
	if p.finished() && s != nil && p.forecast.matched >= 0 && !s.Limited && s.Matched != 0 && s.Matched != int64(total) && len(p.foreign) == 0 {
		return found("gone", "the collection was another one half-way, and the run ends as if nothing were: %d of %d", s.Matched, total)
	}
	mixed, touched := false, false
	for key, got := range p.after.docs {
		d := p.forecast.docs[key]
		if d == nil || p.foreign[key] {
			continue
		}
		switch {
		case bytes.Equal(got, d.before):
			mixed = mixed || d.match == yes && d.fails == no && !p.isAfter(d, got)
		case d.match != no && p.isAfter(d, got):
			touched = true
		default:
			return found("wrong", "a document is neither as before nor as it shall be\n  before %s\n  should %s\n  is     %s", show(d.before), show(d.after), show(got))
		}
	}
	if p.finished() && mixed && touched && p.forecast.matched >= 0 && len(p.fails) == 0 {
		return found("gone", "the collection was another one half-way, and some of the new one were changed, some not: ✓")
	}
	return nil
}

func summaryOf(r *rikki.Result) *backfill.Summary {
	if r == nil {
		return nil
	}
	switch v := r.Value.(type) {
	case *backfill.Summary:
		return v
	case *backfill.Undone:
		return v.Summary
	}
	return nil
}

// judgeCounts looks whether they are true.
func (p *play) judgeCounts() error {
	s := summaryOf(p.main.res)
	if s == nil || len(p.foreign) > 0 || !p.finished() || p.twiceMaybe() {
		return nil
	}
	changed, deleted := 0, 0
	for key, before := range p.first {
		switch got := p.after.docs[key]; {
		case got == nil:
			deleted++
		case !bytes.Equal(got, before):
			changed++
		}
	}
	text := asJSON(s)
	if p.forecast.rows {
		if s.Matched != int64(len(p.c.Script.Rows)) && p.forecast.unsure == "" {
			return found("counts", "%d rows, and %s", len(p.c.Script.Rows), text)
		}
		return nil
	}
	also := slices.ContainsFunc(p.c.Script.Acts, func(a Act) bool { return a.Do == "also" })
	vague := p.forecast.unsure == "stages"
	switch {
	case int(s.Changed) != changed && !vague && p.c.Script.Projection == "":
		return found("counts", "%d documents have changed, and %s", changed, text)
	case int(s.Deleted) != deleted:
		return found("counts", "%d documents are deleted, and %s", deleted, text)
	case int(s.Failed) != len(p.fails) && p.c.Knobs.Key == "" && !vague:
		return found("counts", "%d failures are recorded, and %s", len(p.fails), text)
	case p.forecast.matched >= 0 && int(s.Matched) != p.forecast.matched && !vague:
		return found("counts", "%d documents match, and %s", p.forecast.matched, text)
	case p.c.Knobs.Limit > 0 && s.Limited && p.c.matching(p.forecast) == p.c.Knobs.Limit:
		return found("counts", "the limit is all that matches, and it says that it was limited: %s", text)
	case p.c.Knobs.Limit > 0 && s.Matched > int64(p.c.Knobs.Limit):
		return found("counts", "the limit is %d, and %s", p.c.Knobs.Limit, text)
	case !also && s.Matched != s.Changed+s.Deleted+s.Unchanged+s.Failed:
		return found("counts", "they don't add up: %s", text)
	case (s.Failed > 0) != (p.main.state == rikki.SucceededWithErrors) && s.Verified == nil:
		return found("exit", "it %s, and %s", p.main.state, text)
	}
	return nil
}

// matching is how many documents match whatever the limit, or -1.
func (c *Case) matching(f *forecast) int {
	if byChance(c.Script.Filter) || c.Script.Stages != "" || c.Script.Filter != "{}" || len(c.Knobs.Only) > 0 {
		return -1
	}
	return len(f.docs)
}

// dry runs it dry.
func (g *game) dry(ctx context.Context) (dryErr, err error) {
	before, err := g.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	name, params := g.c.scriptOf(g.dir)
	within, stop := context.WithTimeout(ctx, mostTime)
	defer stop()
	_, dryErr = g.app.Run(within, name, &rikki.RunOptions{Params: params, DryRun: true})
	g.say("dry run: %v", dryErr)
	if within.Err() != nil {
		return nil, found("no-end", "the dry run does not end: %v", dryErr)
	}
	after, err := g.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if !equalAll(before.docs, after.docs) || !equalAll(before.other, after.other) || !equalAll(before.notes, after.notes) {
		return nil, found("dry", "the dry run has changed something")
	}
	return dryErr, nil
}

// judgeDry compares what the dry run said with what became of it.
func (p *play) judgeDry(dryErr error) error {
	if !p.c.Dry || len(p.main.events) > 0 || p.c.killed() || byChance(p.c.Script.Filter) {
		return nil
	}
	_, partial := errors.AsType[*rikki.PartialError](dryErr)
	fine := dryErr == nil || partial
	if !fine && p.finished() && !p.c.Standalone {
		return found("dry", "the dry run says %v, and the run %s", dryErr, p.main.state)
	}
	if fine && p.main.state == rikki.Failed && len(p.first) <= 100 && (p.c.Knobs.MaxFailures == nil || *p.c.Knobs.MaxFailures >= 0) {
		return found("dry", "the dry run is content (%v), and the run fails: %v", dryErr, p.main.err)
	}
	return nil
}

// nothingLeft looks for what is left of a case at the server.
func (g *game) nothingLeft(ctx context.Context) error {
	names, err := g.db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains([]string{"c", "moved", "other", "notes", "copy", "d", "fresh"}, name) {
			return found("left", "a collection %s", name)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		cur, err := g.client.Database("admin", options.Database().SetReadConcern(readconcern.Local())).Aggregate(ctx, mongo.Pipeline{
			{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleSessions", Value: true}}}},
			{{Key: "$match", Value: bson.D{{Key: "appName", Value: g.db.Name()}, {Key: "transaction", Value: bson.D{{Key: "$exists", Value: true}}}}}},
		})
		if err != nil {
			return err
		}
		var ops []bson.Raw
		if err := cur.All(ctx, &ops); err != nil {
			return err
		}
		if len(ops) == 0 || disturbed(g.watch.happened(), "break", "break-reply") {
			return nil
		}
		if time.Now().After(deadline) {
			return found("left", "%d open transactions: %s", len(ops), show(ops[0]))
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
