package backfill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/rawbson"
)

// view is the part of documents that a function can see: the fields that its type has. As long as that is enough for what becomes
// of most documents, nothing else of them is fetched.
type view struct {
	names map[string]bool // of fields at the top: whether a document has them is seen
	// loose are the names that package bson also finds in capitals, each with its bit. A document that lacks one of them is
	// fetched whole, since it may have that field by another name.
	loose map[string]uint64
	sizes sizes // of the parts

	mu   sync.Mutex
	debt int
	off  bool
}

// tooDear is the debt that ends the reading of parts. A document that is fetched whole after its part costs as much as reading it
// twice, a part saves a fifth of that: it ends where much more than a fifth of a hundred documents was read twice.
const (
	twice   = 5
	tooDear = 400
)

// errWhole says that documents are to be read whole, from now on.
var errWhole = errors.New("parts of documents are not enough here: they are read whole from now on")

// newView is that of a type, or nil where whole documents must be read: because the type may see all of them, because the author
// says what is read, or because there is no transaction to fetch the rest in as it was.
func newView(t reflect.Type, e *engine) *view {
	o := e.opts
	if e.alone || e.run.DryRun() || e.run.Encoding() != (conn.Encoding{}) ||
		o.Source != nil || len(o.Stages) > 0 || o.Projection != nil || o.Journal == JournalFull {
		return nil
	}
	v := &view{names: map[string]bool{"_id": true, o.Key: true}, loose: map[string]uint64{}}
	if e.scriptKey != "" {
		v.names[e.scriptKey] = true
	}
	if t == nil || !v.add(t) || len(v.loose) > 64 || !projectable(o.Key) || !projectable(e.scriptKey) {
		return nil
	}
	return v
}

// add takes the fields of a type. It is false if values of it may see more than these.
func (v *view) add(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || decodesItself(t) {
		return false
	}
	for f := range t.Fields() {
		name, inline := tagged(f)
		switch {
		case !f.IsExported() || name == "":
		case inline:
			if !v.add(f.Type) {
				return false
			}
		case !projectable(name):
			return false
		default:
			v.name(name, f.Name)
		}
	}
	return true
}

// name adds a field, with what else package bson takes for it: a name in capitals whose lower case is this one. Fetching the usual
// ones saves reading the document again.
func (v *view) name(name, field string) {
	v.names[name] = true
	if name == "_id" || name != strings.ToLower(name) || v.loose[name] != 0 {
		return
	}
	v.loose[name] = 1 << len(v.loose)
	for _, other := range []string{field, strings.ToLower(field[:1]) + field[1:], strings.ToUpper(name[:1]) + name[1:], strings.ToUpper(name)} {
		if strings.ToLower(other) == name {
			v.names[other] = true
		}
	}
}

// tagged is the name of a field as package bson has it, "" if it leaves the field out.
func tagged(f reflect.StructField) (name string, inline bool) {
	tag, ok := f.Tag.Lookup("bson")
	if !ok && !strings.Contains(string(f.Tag), ":") {
		tag = string(f.Tag)
	}
	if tag == "-" {
		return "", false
	}
	parts := strings.Split(tag, ",")
	if name = parts[0]; name == "" {
		name = strings.ToLower(f.Name)
	}
	return name, slices.Contains(parts, "inline")
}

func projectable(name string) bool { return !strings.ContainsAny(name, ".$\x00") }

// decodesItself tells whether a type is more to package bson than its fields.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[bson.Unmarshaler]()) || p.Implements(reflect.TypeFor[bson.ValueUnmarshaler]()) ||
		t.PkgPath() == reflect.TypeFor[bson.RawValue]().PkgPath()
}

// projection is what the server is asked for.
func (v *view) projection() bson.D {
	var fields bson.D
	for _, name := range slices.Sorted(maps.Keys(v.names)) {
		fields = append(fields, bson.E{Key: name, Value: 1})
	}
	return fields
}

// open is the view if it is of use still, or nil.
func (v *view) open() *view {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.off {
		return nil
	}
	return v
}

// learn counts parts that were read, and documents that were read again.
func (v *view) learn(parts, again int) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.debt = max(0, v.debt+twice*again-parts)
	v.off = v.off || v.debt >= tooDear
}

func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.off = true
}

// lacks tells whether a part lacks a field that the document may have by another name.
func (v *view) lacks(item bson.Raw) bool {
	var found uint64
	rest, ok := rawbson.Fields(item)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		e, rest, ok = rawbson.Next(rest)
		found |= v.loose[string(e.Name)]
	}
	return found != 1<<len(v.loose)-1
}

func top(path string) string {
	name, _, _ := strings.Cut(path, ".")
	return name
}

// isPart tells whether an item is only a part of its document.
func (b *batch) isPart(i int) bool { return b.view != nil && !b.full[i] }

// enough tells whether what was read of an item's document is all that its change takes.
func (w *writes) enough(index int, r *request) bool {
	switch {
	case !w.batch.isPart(index) || r.kind == changeNone:
		return true
	case !w.looks: // there is only its effect to compare with
		return w.batch.view.knows(r)
	}
	return !w.elsewhere && w.batch.view.suffices(r, w.batch.items[index])
}

// lacking are the items that lack a field which their documents may have by another name.
func (b *batch) lacking() []int {
	var index []int
	for i, item := range b.items {
		if b.isPart(i) && b.view.lacks(item) {
			index = append(index, i)
		}
	}
	return index
}

// complete fetches the documents of some items whole, as they are in the same transaction, unless that is more than a chunk of whole
// documents would have.
func (b *batch) complete(ctx context.Context, e *engine, index []int, bytes int) error {
	if len(index) == 0 {
		return nil
	}
	at, ids := make(map[string]int, len(index)), make([]bson.RawValue, len(index))
	for n, i := range index {
		ids[n] = b.items[i].Lookup("_id")
		at[valueKey(ids[n])] = i
	}
	cur, err := e.coll.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetBatchSize(int32(e.sizes.fit(len(ids), bytes))+1).SetComment(e.run.ID())) //nolint:gosec // a chunk
	if err != nil {
		return fmt.Errorf("reading %s: %w", e.ns(), err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // what it could say, Next says
	if b.full == nil {
		b.full = make(map[int]bool, len(index))
	}
	read, n := 0, 0
	for cur.Next(ctx) {
		if read >= bytes {
			b.view.close()
			return errWhole
		}
		if i, ok := at[idKey(cur.Current)]; ok {
			b.items[i], b.full[i] = cur.Current, true
			read, n = read+len(cur.Current), n+1
			e.sizes.learn(read / n)
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", e.ns(), err)
	}
	return nil
}
