package backfill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/rawbson"
)

// fieldChange is a [Change] that sets and removes fields, with its values encoded: once, for the statement as for the document as
// it will be. Its memory is used again for the next one.
type fieldChange struct {
	set   bson.Raw // the fields that are set, as a document
	sets  []assignment
	unset []string
	// plain says that the server does with the fields just what it is told: it has a mind of its own where paths have dots, and
	// for timestamps, which it fills in.
	plain bool
}

// assignment is a field that gets a value.
type assignment struct {
	rawbson.Element
	placed bool // in the document as it will be
}

// take takes a change over, whose values are fields of a document. Nothing of it refers to the change before.
func (f *fieldChange) take(set bson.Raw, unset []string) {
	f.set, f.sets, f.unset, f.plain = set, f.sets[:0], unset, true
	rest, ok := rawbson.Fields(f.set)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); ok {
			f.sets = append(f.sets, assignment{Element: e})
			f.plain = f.plain && topLevel(string(e.Name)) && e.Kind != bson.TypeTimestamp
		}
	}
	for _, path := range unset {
		f.plain = f.plain && topLevel(path)
	}
}

func topLevel(path string) bool {
	return path != "" && !strings.ContainsAny(path, ".$") && path[0] > '9' // numbers are sorted in another way
}

// size is about how many bytes the change takes in a statement.
func (f *fieldChange) size() int {
	n := len(f.set)
	for _, path := range f.unset {
		n += len(path) + 8
	}
	return n
}

// empty says that there is nothing to do. As an update it would be a replacement by an empty document.
func (f *fieldChange) empty() bool { return len(f.sets) == 0 && len(f.unset) == 0 }

// appendUpdate appends the change as MongoDB's update, to the statement that it is part of.
func (f *fieldChange) appendUpdate(statement []byte) []byte {
	statement, u := rawbson.OpenField(statement, bson.TypeEmbeddedDocument, "u")
	if len(f.sets) > 0 {
		statement = rawbson.Append(statement, "$set", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: f.set})
	}
	if len(f.unset) > 0 {
		var fields int
		statement, fields = rawbson.OpenField(statement, bson.TypeEmbeddedDocument, "$unset")
		for _, path := range f.unset {
			statement = rawbson.Append(statement, path, bson.RawValue{Type: bson.TypeNull})
		}
		statement = rawbson.Close(statement, fields)
	}
	return rawbson.Close(statement, u)
}

// outcome puts a document together in dst as the server will leave it. It is false where only the server knows.
func (f *fieldChange) outcome(dst []byte, before bson.Raw) (after bson.Raw, ok bool) {
	rest, ok := rawbson.Fields(before)
	if !ok || !f.plain {
		return nil, false
	}
	doc, start := rawbson.Open(dst)
	for len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); !ok {
			return nil, false
		}
		if len(f.unset) > 0 && slices.Contains(f.unset, string(e.Name)) {
			if occurs(rest, e.Name) {
				return nil, false // the server removes only one of them
			}
			continue
		}
		if set := f.assigned(e.Name); set != nil {
			if set.placed {
				return nil, false // and changes only one
			}
			e, set.placed = set.Element, true
		}
		doc = append(doc, e.Raw...)
	}
	// The server appends new fields in the order of their names.
	slices.SortStableFunc(f.sets, func(a, b assignment) int { return bytes.Compare(a.Name, b.Name) })
	for _, set := range f.sets {
		if !set.placed {
			doc = append(doc, set.Raw...)
		}
	}
	return rawbson.Close(doc, start), true
}

func occurs(rest []byte, name []byte) bool {
	for len(rest) > 0 {
		e, tail, ok := rawbson.Next(rest)
		if !ok || bytes.Equal(e.Name, name) {
			return ok
		}
		rest = tail
	}
	return false
}

func (f *fieldChange) assigned(name []byte) *assignment {
	for i := range f.sets {
		if bytes.Equal(f.sets[i].Name, name) {
			return &f.sets[i]
		}
	}
	return nil
}

// appendSimple appends a field of one of the types that changes are mostly made of, as package bson does. It is false for others.
func appendSimple(dst []byte, name string, value any) (_ []byte, simple bool) {
	if strings.IndexByte(name, 0) >= 0 {
		return dst, false
	}
	begin := func(kind bson.Type) []byte { return rawbson.Append(dst, name, bson.RawValue{Type: kind}) }
	switch v := value.(type) {
	case nil:
		dst = begin(bson.TypeNull)
	case string:
		dst = binary.LittleEndian.AppendUint32(begin(bson.TypeString), uint32(len(v)+1)) //nolint:gosec // the server's limit is far below
		dst = append(append(dst, v...), 0)
	case bool:
		dst = append(begin(bson.TypeBoolean), 0)
		if v {
			dst[len(dst)-1] = 1
		}
	case int:
		if v == int(int32(v)) { //nolint:gosec // that is the question
			return appendSimple(dst, name, int32(v)) //nolint:gosec // it fits
		}
		return appendSimple(dst, name, int64(v))
	case int32:
		dst = binary.LittleEndian.AppendUint32(begin(bson.TypeInt32), uint32(v)) //nolint:gosec // the same bits
	case int64:
		dst = binary.LittleEndian.AppendUint64(begin(bson.TypeInt64), uint64(v)) //nolint:gosec // the same bits
	case float64:
		dst = binary.LittleEndian.AppendUint64(begin(bson.TypeDouble), math.Float64bits(v))
	case time.Time:
		dst = binary.LittleEndian.AppendUint64(begin(bson.TypeDateTime), uint64(v.UnixMilli()))
	case bson.ObjectID:
		dst = append(begin(bson.TypeObjectID), v[:]...)
	default:
		return dst, false
	}
	return dst, true
}

// guard refuses a chunk that changes fields which the script didn't declare.
func (c *chunk) guard(w *journal.Writer) error {
	if len(c.e.opts.Fields) == 0 {
		return nil
	}
	only := strings.Join(c.e.opts.Fields, ", ")
	if w.Deleted() > 0 {
		return fmt.Errorf("%w: a chunk would delete a document, and only %s may change (Options.Fields, --fields); leave the fields out for a script that deletes", ErrGuard, only)
	}
	for path := range w.Touched() {
		if len(path) > 0 && !slices.Contains(c.e.opts.Fields, path[0]) {
			return fmt.Errorf("%w: a chunk would change %s, and only %s may change (Options.Fields, --fields)", ErrGuard, path, only)
		}
	}
	return nil
}
