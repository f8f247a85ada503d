package journal

import (
	"errors"
	"fmt"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// reported marks a field that occurs more than once and has been listed as a conflict.
const reported = 1 << 30

var errNoDocument = errors.New("undo an update: what was read is no document")

// level is what happened to the fields of one document, nested or not.
type level struct {
	branches []branch
	byName   map[string]int // nil for a few branches
	behind   map[string]int // the branch that goes behind a field, where one was removed there
	first    int            // the branch that goes first, or -1
}

// newLevel sorts changes by the name that their paths have at depth.
func newLevel(changes []Change, depth int) (*level, error) {
	l := &level{first: -1}
	for len(changes) > 0 {
		name := changes[0].Path[depth]
		n, leaf := 0, false
		for ; n < len(changes) && changes[n].Path[depth] == name; n++ {
			leaf = leaf || len(changes[n].Path) == depth+1
		}
		if leaf && n > 1 {
			return nil, errTwice()
		}
		l.branches = append(l.branches, branch{name: name, changes: changes[:n], leaf: leaf})
		changes = changes[n:]
	}
	return l, l.index()
}

func errTwice() error { return fmt.Errorf("%w: two changes of one field", ErrCorrupt) }

func (l *level) index() error {
	if len(l.branches) > few {
		l.byName = make(map[string]int, len(l.branches))
	}
	for i := range l.branches {
		b := &l.branches[i]
		if l.branch([]byte(b.name)) != b && l.byName == nil {
			return errTwice()
		}
		if l.byName != nil {
			if _, twice := l.byName[b.name]; twice {
				return errTwice()
			}
			l.byName[b.name] = i
		}
		if !b.leaf || absent(b.changes[0].Before) || !b.changes[0].gone() {
			continue
		}
		if before := b.changes[0].neighbour; before == nil {
			l.first = i
		} else {
			if l.behind == nil {
				l.behind = map[string]int{}
			}
			l.behind[*before] = i
		}
	}
	return nil
}

func (l *level) branch(name []byte) *branch {
	if l.byName != nil {
		if i, ok := l.byName[string(name)]; ok {
			return &l.branches[i]
		}
		return nil
	}
	for i := range l.branches {
		if l.branches[i].name == string(name) {
			return &l.branches[i]
		}
	}
	return nil
}

// count notes which fields exist, and how often.
func (l *level) count(content []byte) error {
	for len(content) > 0 {
		e, tail, ok := rawbson.Next(content)
		if !ok {
			return errNoDocument
		}
		if b := l.branch(e.Name); b != nil {
			b.found++
		}
		content = tail
	}
	return nil
}

// insert appends the removed fields that stood behind e, or at the beginning if e is nil.
func (l *level) insert(out []byte, e *rawbson.Element) []byte {
	i, ok := l.first, l.first >= 0
	if e != nil {
		i, ok = l.behind[string(e.Name)]
	}
	for ok && l.branches[i].pending {
		out = l.put(out, i)
		i, ok = l.behind[l.branches[i].name]
	}
	return out
}

// append appends the removed fields whose place is gone.
func (l *level) append(out []byte) []byte {
	for i := range l.branches {
		for ok := true; ok && l.branches[i].pending; i, ok = l.behind[l.branches[i].name] {
			out = l.put(out, i)
		}
	}
	return out
}

func (l *level) put(out []byte, i int) []byte {
	b := &l.branches[i]
	b.pending = false
	before := b.changes[0].Before
	return rawbson.Append(out, b.name, before)
}
