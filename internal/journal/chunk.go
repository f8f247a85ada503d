package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// Chunk is the journal of one chunk. It holds the entries as they are packed, and decodes one at a time: decoded they can take
// tens of times as much memory.
type Chunk struct {
	data   []byte
	starts []int // of the entries, and the end of the last one
}

// Open unpacks what [Decode] lists. The documents are not needed any more.
func Open(docs ...bson.Raw) (*Chunk, error) {
	data, entries, err := join(docs)
	if err != nil {
		return nil, err
	}
	c := &Chunk{data: data, starts: make([]int, 1, min(entries, len(data))+1)}
	s := skipper{rest: data}
	for i := range entries {
		if s.entry(); s.bad {
			return nil, fmt.Errorf("%w: entry %d", ErrCorrupt, i)
		}
		c.starts = append(c.starts, len(data)-len(s.rest))
	}
	if len(s.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind its last entry", ErrCorrupt, len(s.rest))
	}
	return c, nil
}

// Len is the number of entries.
func (c *Chunk) Len() int { return len(c.starts) - 1 }

// Size is how many bytes an entry takes as it is held.
func (c *Chunk) Size(i int) int { return c.starts[i+1] - c.starts[i] }

// Entry decodes an entry. Its values refer to the memory of the chunk.
func (c *Chunk) Entry(i int) (Entry, error) {
	r := reader{rest: c.data[c.starts[i]:c.starts[i+1]]}
	e := r.entry()
	if r.err != nil {
		return Entry{}, fmt.Errorf("entry %d: %w", i, r.err)
	}
	return e, nil
}

// Head is an entry without what it keeps of the document: its operation, its namespace and its _id.
func (c *Chunk) Head(i int) (Entry, error) {
	r := reader{rest: c.data[c.starts[i]:c.starts[i+1]]}
	e, _ := r.head()
	if r.err != nil {
		return Entry{}, fmt.Errorf("entry %d: %w", i, r.err)
	}
	return e, nil
}

// skipper finds the ends of entries.
type skipper struct {
	rest []byte
	bad  bool
}

func (s *skipper) skip(n int) {
	if s.bad = s.bad || n < 0 || n > len(s.rest); s.bad {
		s.rest = nil
		return
	}
	s.rest = s.rest[n:]
}

func (s *skipper) byte() (b byte) {
	if len(s.rest) > 0 {
		b = s.rest[0]
	}
	s.skip(1)
	return b
}

// count reads a number of things that take at least a byte each.
func (s *skipper) count() int {
	n, size := binary.Uvarint(s.rest)
	if size <= 0 || n > uint64(len(s.rest)-size) { //nolint:gosec // not negative
		s.skip(-1)
		return 0
	}
	s.skip(size)
	return int(n) //nolint:gosec // at most len(s.rest)
}

func (s *skipper) name() { s.skip(s.count()) }

func (s *skipper) value() {
	kind := bson.Type(s.byte())
	s.skip(rawbson.ValueSize(kind, s.rest))
}

func (s *skipper) document() { s.skip(rawbson.DocumentSize(s.rest)) }

func (s *skipper) entry() {
	tag := s.byte()
	if tag&hasNamespace != 0 {
		s.name()
	}
	s.value()
	whole := tag&wholeImages != 0
	op := Op(tag & opMask)
	switch {
	case tag&idOnly != 0:
	case op == Update && !whole:
		for n := s.count(); n > 0 && !s.bad; n-- {
			s.change()
		}
	case op == Delete:
		s.document()
	default:
		if op != Insert {
			s.document()
		}
		if whole {
			s.document()
		} else {
			s.skip(sha256.Size)
		}
	}
}

func (s *skipper) change() {
	for n := s.count(); n > 0 && !s.bad; n-- {
		s.name()
	}
	flags := s.byte()
	if flags&hasNeighbour != 0 {
		s.name()
	}
	if flags&hasBefore != 0 {
		s.value()
	}
	switch {
	case flags&afterHashed != 0:
		s.skip(sha256.Size)
	case flags&hasAfter != 0:
		s.value()
	}
}
