//go:build linux

package anybackfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// live are the cases that this process runs, by the directory that is their parameter. A worker process finds them there.
var live sync.Map //nolint:gochecknoglobals // scripts are made by the app, from their parameters alone

// lively is a case that is run, and what its functions remember.
type lively struct {
	*Case
	dir  string
	mu   sync.Mutex
	seen map[string]bool
}

func caseIn(dir string) *lively {
	if l, ok := live.Load(dir); ok {
		return l.(*lively) //nolint:forcetypeassert // nothing else is there
	}
	data, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		panic(err)
	}
	l := &lively{Case: &Case{}, dir: dir, seen: map[string]bool{}}
	if err := json.Unmarshal(data, l.Case); err != nil {
		panic(err)
	}
	live.Store(dir, l)
	return l
}

// first tells whether something happens for the first time.
func (l *lively) first(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.seen[what]
	l.seen[what] = true
	return !was
}

// base is what the scripts have in common.
type base struct {
	Dir        string `default:""`
	Collection string `default:"c"`
	KeyField   string `default:""`
}

func (b *base) options(name string) backfill.Options {
	o := backfill.Options{Collection: b.Collection, Script: rikki.Options{Name: name, Concurrency: -1}}
	if b.Dir == "" { // the proto
		return o
	}
	l := caseIn(b.Dir)
	o.Filter, o.Fields, o.VerifyAgain = filterOf(l.Script.Filter), l.Knobs.Fields, l.Script.Again
	if o.Key = l.Knobs.Key; b.KeyField != "" {
		o.Key = b.KeyField
	}
	if l.Script.Stages != "" {
		values, _ := extJSON(l.Script.Stages).Array().Values()
		for _, v := range values {
			var stage bson.D
			if err := bson.Unmarshal(v.Document(), &stage); err != nil {
				panic(err)
			}
			o.Stages = append(o.Stages, stage)
		}
	}
	if l.Script.Projection != "" {
		o.Projection = filterOf(l.Script.Projection)
	}
	return o
}

// AnyPipe is a pipeline.
type AnyPipe struct {
	base `params:",inline"`
}

// Backfill implements backfill.Described.
func (a *AnyPipe) Backfill() backfill.Options { return a.options("any-pipe") }

// Pipeline implements backfill.Pipeliner.
func (a *AnyPipe) Pipeline() mongo.Pipeline {
	if a.Dir == "" {
		return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "a", Value: 1}}}}}
	}
	var doc struct{ V mongo.Pipeline }
	if err := bson.UnmarshalExtJSON([]byte(`{"v": `+caseIn(a.Dir).Script.Update+`}`), false, &doc); err != nil {
		panic(err)
	}
	return doc.V
}

// AnyFunc is a function of whole documents.
type AnyFunc struct {
	base `params:",inline"`
}

// Backfill implements backfill.Described.
func (a *AnyFunc) Backfill() backfill.Options { return a.options("any-func") }

// Change implements backfill.Changer.
func (a *AnyFunc) Change(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
	return caseIn(a.Dir).change(ctx, doc)
}

// Part is some of a document's fields.
type Part struct {
	ID bson.RawValue `bson:"_id"`
	N  bson.RawValue `bson:"n"`
	S  bson.RawValue `bson:"s"`
}

func (p Part) doc() bson.Raw {
	d := bson.D{{Key: "_id", Value: p.ID}}
	if !p.N.IsZero() {
		d = append(d, bson.E{Key: "n", Value: p.N})
	}
	if !p.S.IsZero() {
		d = append(d, bson.E{Key: "s", Value: p.S})
	}
	data, err := bson.Marshal(d)
	if err != nil {
		panic(err)
	}
	return data
}

// AnyView is a function of parts of documents.
type AnyView struct {
	base `params:",inline"`
}

// Backfill implements backfill.Described.
func (a *AnyView) Backfill() backfill.Options { return a.options("any-view") }

// Change implements backfill.Changer.
func (a *AnyView) Change(ctx context.Context, p Part) (backfill.Change, error) {
	return caseIn(a.Dir).change(ctx, p.doc())
}

// Touchy is a document that can't be looked at without a panic, if its n is 5.
type Touchy struct{ doc bson.Raw }

// UnmarshalBSON implements bson.Unmarshaler.
func (t *Touchy) UnmarshalBSON(data []byte) error {
	t.doc = append(bson.Raw(nil), data...)
	if touchy(t.doc) {
		panic("this one panics when it is read")
	}
	return nil
}

func touchy(doc bson.Raw) bool {
	n, ok := doc.Lookup("n").Int32OK()
	return ok && n == 5
}

// AnyPanic is a function of such documents.
type AnyPanic struct {
	base `params:",inline"`
}

// Backfill implements backfill.Described.
func (a *AnyPanic) Backfill() backfill.Options { return a.options("any-panic") }

// Change implements backfill.Changer.
func (a *AnyPanic) Change(ctx context.Context, t Touchy) (backfill.Change, error) {
	return caseIn(a.Dir).change(ctx, t.doc)
}

// AnyBatch is a function of chunks.
type AnyBatch struct {
	base `params:",inline"`
}

// Backfill implements backfill.Described.
func (a *AnyBatch) Backfill() backfill.Options { return a.options("any-batch") }

// ChangeAll implements backfill.BatchChanger.
func (a *AnyBatch) ChangeAll(ctx context.Context, docs []bson.Raw) ([]backfill.Change, error) {
	changes := make([]backfill.Change, len(docs))
	for i, doc := range docs {
		var err error
		if changes[i], err = caseIn(a.Dir).change(ctx, doc); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// AnyRows is a function of rows.
type AnyRows struct {
	base `params:",inline"`
}

// Backfill implements backfill.Described.
func (a *AnyRows) Backfill() backfill.Options {
	o := a.options("any-rows")
	if a.Dir == "" {
		return o
	}
	o.Filter = nil
	switch l := caseIn(a.Dir); l.Script.Source {
	case "ndjson":
		o.Source = backfill.NDJSON(filepath.Join(a.Dir, "rows"))
	case "items":
		o.Source = backfill.Items(l.items)
	default:
		o.Source = backfill.CSV(filepath.Join(a.Dir, "rows"))
	}
	return o
}

func (l *lively) items(_ context.Context, after bson.RawValue) iter.Seq2[backfill.Item, error] {
	return func(yield func(backfill.Item, error) bool) {
		behind, _ := after.AsInt64OK()
		for _, r := range l.Script.Rows {
			if !after.IsZero() && int64(r.Key) <= behind {
				continue
			}
			if !yield(backfill.Item{Key: r.Key, Value: bson.D{{Key: "op", Value: r.Op}, {Key: "id", Value: fmt.Sprint(r.ID)}, {Key: "v", Value: fmt.Sprint(r.V)}}}, nil) {
				return
			}
		}
	}
}

// file writes the rows of a case.
func (c *Case) file(dir string) error {
	end := "\n"
	var b strings.Builder
	switch c.Script.Source {
	case "csv-cr":
		end = "\r"
	case "csv-crlf":
		end = "\r\n"
	case "csv-bom":
		b.WriteString("\xef\xbb\xbf")
	}
	if c.Script.Source != "ndjson" {
		b.WriteString("op,id,v" + end)
	}
	for _, r := range c.Script.Rows {
		if c.Script.Source == "ndjson" {
			fmt.Fprintf(&b, `{"op": "%s", "id": "%d", "v": "%d"}`+end, r.Op, r.ID, r.V)
		} else {
			fmt.Fprintf(&b, `%s,"%d",%d`+end, r.Op, r.ID, r.V)
		}
	}
	return os.WriteFile(filepath.Join(dir, "rows"), []byte(b.String()), 0o600)
}

var errBad = errors.New("this one is bad")

// Change implements backfill.Changer.
func (*AnyRows) Change(_ context.Context, row bson.Raw) (backfill.Change, error) {
	id, v := row.Lookup("id").StringValue(), row.Lookup("v").StringValue()
	switch op := row.Lookup("op").StringValue(); op {
	case "put":
		return backfill.Upsert(bson.D{{Key: "v", Value: v}}).For(id), nil
	case "del":
		return backfill.Delete().For(id), nil
	case "inc":
		return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "m", Value: 1}}}}).For(id), nil
	case "set":
		return backfill.Set("w", v).For(id), nil
	case "bad":
		return backfill.None(), errBad
	default:
		return backfill.None(), nil
	}
}

func (c *Case) actOf(id bson.RawValue) *Act {
	h := fnv.New32a()
	_, _ = h.Write(id.Value)
	return &c.Script.Acts[int(h.Sum32()>>3)%len(c.Script.Acts)]
}

// noted tells whether there is a note of a document before the run.
func noted(id bson.RawValue) bool {
	h := fnv.New32a()
	_, _ = h.Write(id.Value)
	return h.Sum32()%5 == 0
}

// bump is n and one more.
func bump(doc bson.Raw) any {
	if n, ok := doc.Lookup("n").Int32OK(); ok {
		return n + 1
	}
	return int32(1)
}

// also names the document of the collection "other" that a document writes.
func alsoID(id bson.RawValue) bson.D { return bson.D{{Key: "of", Value: id}} }

// replacement is another document for one.
func replacement(doc bson.Raw) bson.D {
	d := bson.D{}
	elements, _ := doc.Elements()
	for _, e := range elements {
		if e.Key() != "_id" && !slices.ContainsFunc(d, func(x bson.E) bool { return x.Key == e.Key() }) && !strings.HasPrefix(e.Key(), "$") {
			d = append(d, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	return append(d, bson.E{Key: "z", Value: 1})
}

// upperInPlace changes the bytes of s.
func upperInPlace(doc bson.Raw) bool {
	v := doc.Lookup("s")
	text, ok := v.StringValueOK()
	if !ok {
		return false
	}
	copy(v.Value[4:], upper(text))
	return true
}

func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 32
		}
	}
	return string(b)
}

// change is what the function says.
func (l *lively) change(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
	id, err := doc.LookupErr("_id")
	if err != nil {
		return backfill.None(), errors.New("an item without an _id")
	}
	a := l.actOf(id)
	value := func() any { return extJSON(a.Value) }
	inc := backfill.Set("n", bump(doc))
	switch a.Do {
	case "set":
		return backfill.Set(a.Path, value()), nil
	case "inc":
		return inc, nil
	case "upper":
		if s, ok := doc.Lookup("s").StringValueOK(); ok {
			return backfill.Set("s", upper(s)), nil
		}
		return backfill.None(), nil
	case "unset":
		return backfill.Unset(a.Path), nil
	case "set-unset":
		return backfill.Set(a.Path, value()).Unset("c"), nil
	case "update":
		return backfill.Update(updateOf(a.Value)), nil
	case "delete":
		return backfill.Delete(), nil
	case "also":
		return backfill.None().Also("other", alsoID(id), bson.D{{Key: "x", Value: 1}}), nil
	case "set-also":
		return backfill.Set(a.Path, value()).Also("other", alsoID(id), bson.D{{Key: "x", Value: 2}}), nil
	case "also-update":
		return inc.AlsoUpdate("other", 0, bson.D{{Key: "$inc", Value: bson.D{{Key: "m", Value: 1}}}}), nil
	case "also-delete":
		return inc.Also("other", 1, nil), nil
	case "also-fail":
		return inc.Also("other", alsoID(id), bson.D{{Key: "x", Value: 3}}), errBad
	case "fail":
		return backfill.None(), errBad
	case "panic":
		panic("this one panics")
	case "transient":
		if l.first(fmt.Sprint("transient", id)) {
			return backfill.None(), rikki.Transient(errors.New("not now"))
		}
		return inc, nil
	case "delete-set":
		return backfill.Delete().Set("z", 1), nil
	case "update-set":
		return backfill.Update(updateOf(a.Value)).Set("z", 1), nil
	case "replace":
		return backfill.Replace(replacement(doc)), nil
	case "upsert":
		return backfill.Upsert(replacement(doc)), nil
	case "replace-set":
		return backfill.Replace(replacement(doc)).Set("z", 2), nil
	case "in-place":
		upperInPlace(doc)
		return backfill.Replace(doc), nil
	case "in-place-set":
		if upperInPlace(doc) {
			return backfill.Set("s", doc.Lookup("s")), nil
		}
		return backfill.None(), nil
	case "scribble":
		upperInPlace(doc)
		return inc, nil
	case "note", "note-quietly":
		if _, err := backfill.DB(ctx).Collection("notes").InsertOne(ctx, bson.D{{Key: "_id", Value: id}}); err != nil && a.Do == "note" {
			return backfill.None(), err
		}
		return inc, nil
	case "read":
		n, err := backfill.DB(ctx).Collection("other").CountDocuments(ctx, bson.D{})
		if err != nil {
			return backfill.None(), err
		}
		_ = n
		return inc, nil
	default:
		return backfill.None(), nil
	}
}

// line is the case as a command line, with a file if that is its door.
func (c *Case) line(dir string) ([]string, error) {
	_, params := c.scriptOf(dir)
	args := []string{backfill.AdHocName}
	names := slices.Sorted(maps.Keys(params))
	if c.Door == "flags" {
		for _, name := range names {
			switch v := params[name].(type) {
			case bool:
				args = append(args, "--"+name)
			case []string:
				for _, word := range v {
					args = append(args, "--"+name+"="+word)
				}
			default:
				args = append(args, fmt.Sprint("--", name, "=", v))
			}
		}
		return args, nil
	}
	var b strings.Builder
	for _, name := range names {
		switch v := params[name].(type) {
		case string:
			if name != "filter" && name != "update" {
				v = asJSON(v)
			}
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		default:
			fmt.Fprintf(&b, "%s: %s\n", name, asJSON(v))
		}
	}
	file := filepath.Join(dir, "spec.yaml")
	return append(args, "--spec="+file), os.WriteFile(file, []byte(b.String()), 0o600)
}

// updateOf is an update document or a pipeline.
func updateOf(text string) any {
	if v := extJSON(text); v.Type == bson.TypeArray {
		var p struct{ V mongo.Pipeline }
		if err := bson.UnmarshalExtJSON([]byte(`{"v": `+text+`}`), false, &p); err != nil {
			panic(err)
		}
		return p.V
	}
	return filterOf(text)
}

// scripts are all that an app of ours knows.
func scripts() []rikki.Script {
	return []rikki.Script{
		backfill.NewAdHoc(), backfill.NewUndo(), backfill.NewPipeline(&AnyPipe{}), backfill.New[bson.Raw](&AnyFunc{}), backfill.New[Part](&AnyView{}), backfill.New[Touchy](&AnyPanic{}),
		backfill.NewBatch[bson.Raw](&AnyBatch{}), backfill.New[bson.Raw](&AnyRows{}),
	}
}

// scriptName is the one of a case, and its parameters.
func (c *Case) scriptOf(dir string) (string, map[string]any) {
	p := map[string]any{}
	k := c.Knobs
	if k.Chunk > 0 {
		p["chunk"] = k.Chunk
	}
	if k.Workers > 0 {
		p["workers"] = k.Workers
	}
	if k.Journal != "" {
		p["journal"] = k.Journal
	}
	if k.Limit > 0 {
		p["limit"] = k.Limit
	}
	if len(k.Only) > 0 {
		p["only"] = k.Only
	}
	if k.MaxFailures != nil {
		p["max-failures"] = *k.MaxFailures
	}
	if k.Hold {
		p["hold"] = true
	}
	p["gentle"] = "never"
	switch c.Script.Kind {
	case kindAdHoc, kindDelete:
		p["collection"], p["filter"] = "c", c.Script.Filter
		if c.Script.Kind == kindDelete {
			p["delete"] = true
		} else {
			p["update"] = c.Script.Update
		}
		if k.Key != "" {
			p["key"] = k.Key
		}
		if len(k.Fields) > 0 {
			p["fields"] = k.Fields
		}
		if c.Standalone {
			p["at-least-once"] = true
		}
		return backfill.AdHocName, p
	}
	p["dir"] = dir
	if c.Standalone {
		p["at-least-once"] = true
	}
	return "any-" + c.Script.Kind, p
}
