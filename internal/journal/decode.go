package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/klauspost/compress/s2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// ErrCorrupt says that journal documents don't hold what a [Writer] packed.
var ErrCorrupt = errors.New("the journal is damaged")

// Decode lists the entries of one chunk in the order in which they were added, from all of its journal documents in any
// order. Changes of the same document must be undone last first. It ends at the first error.
func Decode(docs ...bson.Raw) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		c, err := Open(docs...)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for i := range c.Len() {
			e, err := c.Entry(i)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// part is what the codec reads of one journal document.
type part struct {
	number, parts, entries int
	data                   []byte
}

// join returns what the parts hold together.
func join(docs []bson.Raw) (data []byte, entries int, err error) {
	if len(docs) == 0 {
		return nil, 0, nil
	}
	parts := make([]part, 0, len(docs))
	for _, doc := range docs {
		p, err := parsePart(doc)
		if err != nil {
			return nil, 0, err
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return a.number - b.number })
	for i, p := range parts {
		if p.number != i || p.parts != len(parts) || p.entries != parts[0].entries {
			return nil, 0, fmt.Errorf("%w: part %d of %d is missing or stands twice", ErrCorrupt, i, parts[0].parts)
		}
	}
	packed := parts[0].data
	if len(parts) > 1 {
		packed = nil
		for _, p := range parts {
			packed = append(packed, p.data...)
		}
	}
	size, err := s2.DecodedLen(packed)
	if err != nil || size > maxChunk {
		return nil, 0, fmt.Errorf("%w: its data doesn't decompress", ErrCorrupt)
	}
	if data, err = s2.Decode(nil, packed); err != nil {
		return nil, 0, fmt.Errorf("%w: its data doesn't decompress: %w", ErrCorrupt, err)
	}
	return data, parts[0].entries, nil
}

func parsePart(doc bson.Raw) (part, error) {
	var numbers [4]int
	for i := range numbers {
		e, ok := rawbson.Lookup(doc, ownFields()[i])
		if !ok || e.Kind != bson.TypeInt32 {
			return part{}, fmt.Errorf("%w: document without %s", ErrCorrupt, ownFields()[i])
		}
		numbers[i] = int(int32(binary.LittleEndian.Uint32(e.Value))) //nolint:gosec // it was one
	}
	if numbers[0] != formatVersion {
		return part{}, fmt.Errorf("the journal has format %d, this program reads format %d: use a newer one", numbers[0], formatVersion)
	}
	e, ok := rawbson.Lookup(doc, "data")
	if !ok || e.Kind != bson.TypeBinary || e.Value[4] != bson.TypeBinaryGeneric {
		return part{}, fmt.Errorf("%w: document without data", ErrCorrupt)
	}
	return part{number: numbers[1], parts: numbers[2], entries: numbers[3], data: e.Value[5:]}, nil
}

// reader reads entries. After an error it reads nothing more.
type reader struct {
	rest  []byte
	names map[string]string // those read so far: they repeat
	err   error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	r.rest = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail("it ends too early")
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// count reads a number of things that take at least a byte each.
func (r *reader) count() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) { //nolint:gosec // not negative
		r.fail("a length that can't be")
		return 0
	}
	r.rest = r.rest[size:]
	return int(n) //nolint:gosec // at most len(r.rest)
}

func (r *reader) name() string {
	b := r.take(r.count())
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	if r.names == nil {
		r.names = map[string]string{}
	}
	s := string(b)
	r.names[s] = s
	return s
}

func (r *reader) value() bson.RawValue {
	kind := bson.Type(r.byte())
	size := rawbson.ValueSize(kind, r.rest)
	if size < 0 || kind == 0 {
		r.fail("a value that is no BSON")
		return bson.RawValue{}
	}
	return bson.RawValue{Type: kind, Value: r.take(size)}
}

func (r *reader) document() bson.Raw {
	size := rawbson.DocumentSize(r.rest)
	if size < 0 {
		r.fail("a document that is no BSON")
		return nil
	}
	return r.take(size)
}

// head reads what an entry begins with, and tells whether whole documents follow.
func (r *reader) head() (e Entry, whole bool) {
	tag := r.byte()
	e = Entry{Op: Op(tag & opMask), IDOnly: tag&idOnly != 0}
	if tag&hasNamespace != 0 {
		e.Namespace = r.name()
	}
	e.ID = r.value()
	if e.Op < Update || e.Op > Delete {
		r.fail("an operation that there isn't")
	}
	return e, tag&wholeImages != 0
}

func (r *reader) entry() Entry {
	e, whole := r.head()
	switch {
	case r.err != nil || e.IDOnly:
	case e.Op == Update && !whole:
		e.Changes = r.changes(r.count())
	case e.Op == Delete:
		e.Before = r.document()
	case e.Op == Insert, e.Op == Replace, e.Op == Update:
		if e.Op != Insert {
			e.Before = r.document()
		}
		if whole {
			e.After = r.document()
		} else {
			e.AfterSum = r.take(sha256.Size)
		}
	}
	return e
}

func (r *reader) changes(n int) []Change {
	changes := make([]Change, 0, min(n, 1024))
	for range n {
		if r.err != nil {
			return nil
		}
		changes = append(changes, r.change())
	}
	return changes
}

func (r *reader) change() Change {
	c := Change{Path: r.path()}
	flags := r.byte()
	if len(c.Path) == 0 || flags&(hasBefore|hasAfter) == 0 {
		r.fail("a change of nothing")
	}
	if flags&hasNeighbour != 0 {
		name := r.name()
		c.neighbour = &name
	}
	if flags&hasBefore != 0 {
		c.Before = r.value()
	}
	switch {
	case flags&afterHashed != 0:
		c.AfterSum = r.take(sha256.Size)
	case flags&hasAfter != 0:
		c.After = r.value()
	}
	return c
}

func (r *reader) path() Path {
	n := r.count()
	if n > maxDepth+1 {
		r.fail("a path that is too deep")
		return nil
	}
	path := make(Path, 0, n)
	for range n {
		path = append(path, r.name())
	}
	return path
}

// Parts says which of how many parts of its chunk a journal document is, counted from 0. All of them go to [Decode] together.
func Parts(doc bson.Raw) (number, parts int, err error) {
	p, err := parsePart(doc)
	return p.number, p.parts, err
}
