package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/rawbson"
)

// request is a [Change] in bytes. It is made as soon as the function has returned the change: what the author does with the
// memory of its values later makes no difference.
type request struct {
	kind   changeKind
	fields []fieldWrite // which paths; their values are the author's
	set    bson.Raw     // the fields that are set, as a document
	unset  []string
	update bson.RawValue
	replacement
	target bson.RawValue // zero: the item's own document
	also   []otherWrite
}

// replacement is a document without its _id: that of the document which it replaces stays, whatever type of number it is.
type replacement struct {
	doc bson.Raw
	// stamped says that the server fills in a timestamp of it.
	stamped bool
}

// otherWrite is a [write] in bytes.
type otherWrite struct {
	kind   changeKind
	ns     string
	id     bson.RawValue
	update bson.RawValue
	replacement
}

// encoder makes requests of the changes of a chunk.
type encoder struct {
	encoding  conn.Encoding // the client's
	key       string        // that the walk goes by
	only      []string      // fields that may change, where that must be seen before anything is written
	namespace func(collection string) (string, error)
	lent      lent   // what the function did itself with the transaction of its chunk
	buf       []byte // what was encoded; its memory is used again for another chunk
}

// newEncoder is one for the documents of a chunk.
func (e *engine) newEncoder(ctx context.Context, encoding conn.Encoding, buf []byte) *encoder {
	x := &encoder{encoding: encoding, key: e.opts.Key, namespace: func(name string) (string, error) { return e.namespace(ctx, name) }, buf: buf}
	if e.alone { // what was written stays
		x.only = e.opts.Fields
	}
	return x
}

// encode encodes all of a change. The error is one of its document alone, or [ErrKey] or [ErrGuard].
func (x *encoder) encode(c Change) (r request, err error) {
	if c.wrong != "" {
		return r, errors.New(c.wrong)
	}
	r.kind = c.kind
	if c.target != nil {
		if r.target, err = x.encoding.Value(*c.target); err != nil {
			return r, fmt.Errorf("the _id of the document to change: %w", err)
		}
	}
	switch c.kind {
	case changeFields:
		err = x.fields(&r, c.fields)
	case changeUpdate:
		r.update, err = x.update(c.value, x.key, x.only)
	case changeReplace, changeUpsert:
		r.replacement, err = x.replacement(c.value)
	case changeNone, changeDelete:
	}
	if err != nil {
		return r, err
	}
	for _, also := range c.also {
		o, err := x.other(also)
		if err != nil {
			return r, err
		}
		r.also = append(r.also, o)
	}
	return r, nil
}

func (x *encoder) other(a write) (o otherWrite, err error) {
	o.kind = a.kind
	if o.ns, err = x.namespace(a.collection); err != nil {
		return o, err
	}
	if o.id, err = x.encoding.Value(a.id); err != nil {
		return o, fmt.Errorf("the _id of a document of %s: %w", a.collection, err)
	}
	switch a.kind {
	case changeUpdate:
		o.update, err = x.update(a.value, "_id", nil)
	case changeUpsert:
		o.replacement, err = x.replacement(a.value)
	default: // a deletion takes the _id alone
	}
	if err != nil {
		return o, fmt.Errorf("a document of %s: %w", a.collection, err)
	}
	return o, nil
}

// fields encodes what is set, and lists what is removed.
func (x *encoder) fields(r *request, fields []fieldWrite) error {
	fields, err := settled(fields)
	if err != nil {
		return err
	}
	r.fields = fields
	for _, f := range fields {
		if err := checkPath(f.path, x.key); err != nil {
			return err
		}
		if !f.remove {
			continue
		}
		if strings.IndexByte(f.path, 0) >= 0 {
			return fmt.Errorf("the change can't be encoded: the name %q has a zero byte", f.path)
		}
		r.unset = append(r.unset, f.path)
	}
	if r.set, err = x.sets(fields); err != nil {
		return fmt.Errorf("the change can't be encoded: %w", err)
	}
	return nil
}

// settled leaves the last write to each path, and refuses those to parts of one another.
func settled(fields []fieldWrite) ([]fieldWrite, error) {
	const few = 8
	if len(fields) > few {
		return settledByName(fields)
	}
	for i, f := range fields {
		for _, later := range fields[i+1:] {
			short, long := f.path, later.path
			if len(short) > len(long) {
				short, long = long, short
			}
			switch {
			case !strings.HasPrefix(long, short):
			case len(long) == len(short):
				return settledByName(fields)
			case long[len(short)] == '.':
				return nil, apartError(short, long)
			}
		}
	}
	return fields, nil
}

// settledByName does the same for any number.
func settledByName(fields []fieldWrite) ([]fieldWrite, error) {
	last := make(map[string]int, len(fields))
	for i, f := range fields {
		last[f.path] = i
	}
	rest := make([]fieldWrite, 0, len(last))
	for i, f := range fields {
		if last[f.path] != i {
			continue
		}
		rest = append(rest, f)
		for at := range len(f.path) {
			if _, both := last[f.path[:at]]; both && f.path[at] == '.' {
				return nil, apartError(f.path[:at], f.path)
			}
		}
	}
	return rest, nil
}

func apartError(whole, part string) error {
	return fmt.Errorf("the change writes %s and %s, which is a part of it: write one of them", whole, part)
}

// sets encodes what is set. What a client does with its own registry or options, and what is more than a simple value, is left to
// package bson.
func (x *encoder) sets(fields []fieldWrite) (bson.Raw, error) {
	simple := x.encoding == (conn.Encoding{})
	doc, start := rawbson.Open(x.buf)
	for _, f := range fields {
		if f.remove || !simple {
			continue
		}
		doc, simple = appendSimple(doc, f.path, f.value)
	}
	if simple {
		x.buf = rawbson.Close(doc, start)
		return x.since(start), nil
	}
	values := make(bson.D, 0, len(fields))
	for _, f := range fields {
		if !f.remove {
			values = append(values, bson.E{Key: f.path, Value: f.value})
		}
	}
	if len(values) == 0 {
		return bson.Raw{5, 0, 0, 0, 0}, nil
	}
	set, err := x.encoding.Marshal(values)
	if err == nil && !isDocument(set) {
		err = errors.New("what its values encode to is no BSON")
	}
	return set, err
}

// since is what was encoded from a place on. More that is encoded doesn't reach into it.
func (x *encoder) since(start int) bson.Raw { return x.buf[start:len(x.buf):len(x.buf)] }

func isDocument(doc bson.Raw) bool {
	rest, ok := rawbson.Fields(doc)
	for ok && len(rest) > 0 {
		_, rest, ok = rawbson.Next(rest)
	}
	return ok
}

// update encodes an update document or a pipeline. The server would take a document without operators, which may be empty, for
// what the whole document shall be.
func (x *encoder) update(update any, key string, only []string) (bson.RawValue, error) {
	data, err := x.encoding.Marshal(bson.D{{Key: "u", Value: update}})
	if err != nil {
		return bson.RawValue{}, fmt.Errorf("the update can't be encoded: %w", err)
	}
	u := data.Lookup("u")
	if stages, ok := u.ArrayOK(); ok {
		return u, checkPipeline(stages, key)
	}
	doc, _ := u.DocumentOK()
	if first, err := doc.IndexErr(0); err != nil || !strings.HasPrefix(first.Key(), "$") {
		return bson.RawValue{}, fmt.Errorf("the update %s has no operator such as $set: Replace puts another document in the place of one", u)
	}
	return u, checkOperators(doc, key, only)
}

// replacement encodes a document but for its _id.
func (x *encoder) replacement(value any) (r replacement, err error) {
	data, err := x.encoding.Marshal(value)
	if err != nil {
		return r, fmt.Errorf("the new document can't be encoded: %w", err)
	}
	doc, start := rawbson.Open(x.buf)
	rest, ok := rawbson.Fields(data)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); ok && string(e.Name) != "_id" {
			doc = append(doc, e.Raw...)
			r.stamped = r.stamped || isEmptyTimestamp(e)
		}
	}
	if !ok {
		return r, errors.New("the new document can't be encoded: it is no BSON")
	}
	x.buf = rawbson.Close(doc, start)
	r.doc = x.since(start)
	return r, nil
}

// under is the document as it will be, in the memory of dst.
func (r replacement) under(dst []byte, id bson.RawValue) bson.Raw {
	doc, start := rawbson.Open(dst)
	doc = rawbson.Append(doc, "_id", id)
	return rawbson.Close(append(doc, r.doc[4:len(r.doc)-1]...), start)
}

// holds tells whether a document is already as the request would make it. It is false when that isn't known.
func (r *request) holds(doc bson.Raw) bool {
	switch r.kind {
	case changeFields:
		var f fieldChange
		f.take(r.set, r.unset)
		after, ok := f.outcome(nil, doc)
		return ok && string(doc) == string(after)
	case changeReplace, changeUpsert:
		return r.target.IsZero() && !r.stamped && string(doc) == string(r.under(nil, doc.Lookup("_id")))
	default:
		return false
	}
}

// knows tells whether all that a change is about is in the part.
func (v *view) knows(r *request) bool {
	if r.kind != changeFields || !r.target.IsZero() {
		return false
	}
	return !slices.ContainsFunc(r.fields, func(f fieldWrite) bool { return !v.names[top(f.path)] })
}

// suffices tells whether a part is enough for what is kept of a change. Undoing puts a field that is removed behind the one that it
// stood behind, which the part may not have; and where a field occurs twice, all of the document is kept.
func (v *view) suffices(r *request, item bson.Raw) bool {
	if !v.knows(r) || slices.ContainsFunc(r.fields, func(f fieldWrite) bool { return strings.Contains(f.path, ".") }) {
		return false
	}
	names := make([][]byte, 0, 16)
	rest, ok := rawbson.Fields(item)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); ok {
			if slices.Contains(r.unset, string(e.Name)) || slices.ContainsFunc(names, func(n []byte) bool { return string(n) == string(e.Name) }) {
				return false
			}
			names = append(names, e.Name)
		}
	}
	return ok
}
