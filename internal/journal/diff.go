package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// maxDepth is how deep nested documents are looked into; what lies deeper is compared whole. The server stores up to 180 or
// so levels.
const maxDepth = 250

// maxAfter is up to how many bytes a value after is kept rather than its hash.
const maxAfter = 1 << 10

// Flags of a change, see the package's documentation.
const (
	hasBefore = 1 << iota
	hasAfter
	afterHashed
	hasNeighbour
)

// differ finds what changed, and writes it down in the journal's own form. It is reused, so that finding a change
// allocates nothing.
type differ struct {
	out   []byte // the changes
	marks []mark // one for each
	path  [][]byte

	elements []rawbson.Element
	partners []int
	names    names
}

// mark says where a change stands in the output, and its path.
type mark struct{ start, pathEnd int }

// diff compares two documents that are not equal. It says whether taking back the changes restores before byte for byte.
func (d *differ) diff(before, after []byte) bool {
	d.out, d.marks, d.path, d.elements = d.out[:0], d.marks[:0], d.path[:0], d.elements[:0]
	return d.documents(before, after)
}

// documents adds what differs between two documents at the present path. If paths can't express it, it says so, and the
// caller takes back what it added.
func (d *differ) documents(before, after []byte) bool {
	b, okB := rawbson.Fields(before)
	a, okA := rawbson.Fields(after)
	if !okB || !okA || len(d.path) >= maxDepth {
		return false
	}
	var last rawbson.Element // of those before
	restB, restA := b, a
	for len(restB) > 0 && len(restA) > 0 {
		eb, tailB, ok := rawbson.Next(restB)
		if !ok {
			return false
		}
		if bytes.HasPrefix(restA, eb.Raw) { // most fields stay as they are
			restB, restA, last = tailB, restA[len(eb.Raw):], eb
			continue
		}
		ea, tailA, ok := rawbson.Next(restA)
		if !ok {
			return false
		}
		if !bytes.Equal(eb.Name, ea.Name) {
			break
		}
		d.values(eb, ea)
		restB, restA, last = tailB, tailA, eb
	}
	if len(restB) > 0 && !d.rearranged(last, restB, restA) {
		return false
	}
	if len(restB) == 0 && !d.appended(restA) {
		return false
	}
	// Where only one of them goes on, its names include the other's.
	return (len(restA) == 0 || d.unique(a)) && (len(restA) > 0 && len(restB) == 0 || d.unique(b))
}

// values adds what differs between two fields of the same name.
func (d *differ) values(before, after rawbson.Element) {
	if before.Same(after) {
		return
	}
	d.path = append(d.path, before.Name)
	if !d.nested(before, after) {
		d.add(nil, before, after)
	}
	d.path = d.path[:len(d.path)-1]
}

func (d *differ) nested(before, after rawbson.Element) bool {
	if before.Kind != bson.TypeEmbeddedDocument || after.Kind != bson.TypeEmbeddedDocument {
		return false
	}
	out, marks, elements := len(d.out), len(d.marks), len(d.elements)
	ok := d.documents(before.Value, after.Value)
	d.elements = d.elements[:elements]
	if !ok {
		d.out, d.marks = d.out[:out], d.marks[:marks]
	}
	return ok
}

func (d *differ) appended(after []byte) bool {
	for len(after) > 0 {
		e, tail, ok := rawbson.Next(after)
		if !ok {
			return false
		}
		d.added(e)
		after = tail
	}
	return true
}

// rearranged adds what differs where fields were removed, or inserted before others. last is the field before them.
func (d *differ) rearranged(last rawbson.Element, before, after []byte) bool {
	b, ok := d.parse(before)
	if !ok {
		return false
	}
	a, ok := d.parse(after)
	if !ok {
		return false
	}
	d.names.build(a)
	// Nested documents use the same scratch space, so all partners are found first.
	start := len(d.partners)
	defer func() { d.partners = d.partners[:start] }()
	seen := 0 // up to here, those after have had their turn
	for _, e := range b {
		at := d.names.find(e.Name)
		if at >= 0 && at < seen {
			return false // the order changed
		}
		if at >= 0 {
			seen = at + 1
		}
		d.partners = append(d.partners, at)
	}
	seen = 0
	for i, e := range b {
		at := d.partners[start+i]
		if at < 0 {
			d.removed(e, last)
		} else {
			for _, added := range a[seen:at] {
				d.added(added)
			}
			d.values(e, a[at])
			seen = at + 1
		}
		last = e
	}
	for _, added := range a[seen:] {
		d.added(added)
	}
	return true
}

// parse reads elements into scratch space; nested returns it.
func (d *differ) parse(rest []byte) ([]rawbson.Element, bool) {
	start := len(d.elements)
	for len(rest) > 0 {
		e, tail, ok := rawbson.Next(rest)
		if !ok {
			return nil, false
		}
		d.elements = append(d.elements, e)
		rest = tail
	}
	return d.elements[start:len(d.elements):len(d.elements)], true
}

func (d *differ) unique(rest []byte) bool {
	start := len(d.elements)
	elements, ok := d.parse(rest)
	ok = ok && d.names.build(elements)
	d.elements = d.elements[:start]
	return ok
}

func (d *differ) added(e rawbson.Element) {
	d.path = append(d.path, e.Name)
	d.add(nil, rawbson.Element{}, e)
	d.path = d.path[:len(d.path)-1]
}

func (d *differ) removed(e, neighbour rawbson.Element) {
	d.path = append(d.path, e.Name)
	if neighbour.Raw == nil {
		d.add(nil, e, rawbson.Element{})
	} else {
		d.add(&neighbour, e, rawbson.Element{})
	}
	d.path = d.path[:len(d.path)-1]
}

// add writes a change of the present path; an element that is zero was absent.
func (d *differ) add(neighbour *rawbson.Element, before, after rawbson.Element) {
	m := mark{start: len(d.out)}
	d.out = binary.AppendUvarint(d.out, uint64(len(d.path)))
	for _, name := range d.path {
		d.out = appendBytes(d.out, name)
	}
	m.pathEnd = len(d.out)
	d.marks = append(d.marks, m)

	var flags byte
	if before.Raw != nil {
		flags |= hasBefore
	}
	if after.Raw != nil {
		flags |= hasAfter
	}
	if len(after.Value) > maxAfter {
		flags |= afterHashed
	}
	if neighbour != nil {
		flags |= hasNeighbour
	}
	d.out = append(d.out, flags)
	if neighbour != nil {
		d.out = appendBytes(d.out, neighbour.Name)
	}
	if before.Raw != nil {
		d.out = appendValue(d.out, before)
	}
	switch {
	case flags&afterHashed != 0:
		sum := hashValue(after.RawValue())
		d.out = append(d.out, sum[:]...)
	case after.Raw != nil:
		d.out = appendValue(d.out, after)
	}
}

func appendValue(dst []byte, e rawbson.Element) []byte {
	dst = append(dst, byte(e.Kind))
	return append(dst, e.Value...)
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// hashValue covers the type as well: an int64 and a date may have the same bytes.
func hashValue(v bson.RawValue) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte{byte(v.Type)})
	h.Write(v.Value)
	return [sha256.Size]byte(h.Sum(nil))
}
