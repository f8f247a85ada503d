package journal

import (
	"bytes"
	"hash/maphash"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// few is up to how many names comparing each with each is cheaper than hashing.
const few = 16

// names finds elements by name. It is scratch space: each call of build forgets what was there.
type names struct {
	elements []rawbson.Element
	slots    []int32 // open addressing: a place in elements plus one, 0 is free
	seed     maphash.Seed
	seeded   bool
}

// build takes the elements and says whether no name occurs twice. If one does, the first counts.
func (n *names) build(elements []rawbson.Element) bool {
	n.elements, n.slots = elements, n.slots[:0]
	unique := true
	if len(elements) <= few {
		for i := range elements {
			for j := range i {
				if bytes.Equal(elements[i].Name, elements[j].Name) {
					return false
				}
			}
		}
		return true
	}
	if !n.seeded {
		n.seed, n.seeded = maphash.MakeSeed(), true
	}
	size := 64
	for size < 2*len(elements) {
		size *= 2
	}
	if cap(n.slots) < size {
		n.slots = make([]int32, size)
	}
	n.slots = n.slots[:size]
	clear(n.slots)
	for i := range elements {
		slot := n.slot(elements[i].Name)
		if n.slots[slot] != 0 {
			unique = false
			continue
		}
		n.slots[slot] = int32(i + 1)
	}
	return unique
}

// slot is where name is, or where it would be.
func (n *names) slot(name []byte) int {
	mask := len(n.slots) - 1
	at := int(maphash.Bytes(n.seed, name)) & mask //nolint:gosec // only its low bits count
	for n.slots[at] != 0 && !bytes.Equal(n.elements[n.slots[at]-1].Name, name) {
		at = (at + 1) & mask
	}
	return at
}

// find is the place of name, or -1.
func (n *names) find(name []byte) int {
	if len(n.slots) > 0 {
		return int(n.slots[n.slot(name)]) - 1
	}
	for i := range n.elements {
		if bytes.Equal(n.elements[i].Name, name) {
			return i
		}
	}
	return -1
}
