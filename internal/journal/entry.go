package journal

import (
	"crypto/sha256"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/bsondiff"
)

// Path names a field of a document or of a nested one, from the outside in. The empty path is the whole document.
type Path []string

// String is for people: value.a["b.c"]. It is empty for the whole document.
func (p Path) String() string {
	var text string
	for _, name := range p {
		text = bsondiff.Field(text, name)
	}
	return text
}

// compare orders paths name by name.
func (p Path) compare(o Path) int {
	for i := range min(len(p), len(o)) {
		if c := strings.Compare(p[i], o[i]); c != 0 {
			return c
		}
	}
	return len(p) - len(o)
}

// Change is what happened to one path. Values that are zero were absent.
type Change struct {
	Path          Path
	Before, After bson.RawValue
	// AfterSum is the SHA-256 of type and value after, kept instead of a value that is large.
	AfterSum []byte

	// neighbour stood before the field that was removed; nil means that it was the first.
	neighbour *string
}

// left says whether the change left this value behind.
func (c *Change) left(kind bson.Type, value []byte) bool {
	v := bson.RawValue{Type: kind, Value: value}
	if c.AfterSum != nil {
		sum := hashValue(v)
		return string(sum[:]) == string(c.AfterSum)
	}
	return !absent(c.After) && v.Equal(c.After)
}

// gone says whether the change left nothing there.
func (c *Change) gone() bool { return absent(c.After) && c.AfterSum == nil }

func absent(v bson.RawValue) bool { return v.Type == 0 }

// Entry is what a chunk did to one document. Its values refer to the memory that the entry was decoded from.
type Entry struct {
	Op Op
	// Namespace is database.collection of a document outside the run's own collection, or "".
	Namespace string
	ID        bson.RawValue
	// IDOnly says that nothing else was kept, so there is nothing to undo with.
	IDOnly bool
	// Changes are the paths that an update changed, unless the mode was full.
	Changes []Change
	// Before is the document that was replaced or deleted; in mode full also the one that was updated.
	Before bson.Raw
	// After is the document afterwards, in mode full.
	After bson.Raw
	// AfterSum is the SHA-256 of the document that was inserted, or that replaced another; zeros if that isn't known.
	AfterSum []byte
}

// AfterUnknown says that the document was about to be changed when the entry was written, and that nobody has noted what became of
// it. Undoing restores what was there, whatever is there now: it can't tell the run's change from those of others.
func (e *Entry) AfterUnknown() bool {
	return len(e.AfterSum) == sha256.Size && string(e.AfterSum) == string(make([]byte, sha256.Size))
}

// ErrNotUndoable says that the journal holds too little to undo a change.
var ErrNotUndoable = errors.New("the journal holds only the ids of what changed: a run whose journal mode is ids or off can't be undone")

// left says whether the run left this document behind.
func (e *Entry) left(doc bson.Raw) bool {
	if e.AfterUnknown() {
		return true
	}
	if e.AfterSum != nil {
		sum := sha256.Sum256(doc)
		return string(sum[:]) == string(e.AfterSum)
	}
	return e.After != nil && string(doc) == string(e.After)
}

// Diff lists what changed between two documents. It is false if taking the changes back path by path would not restore
// before byte for byte; there are no changes then.
func Diff(before, after bson.Raw) ([]Change, bool) {
	if string(before) == string(after) {
		return nil, true
	}
	var d differ
	if !d.diff(before, after) {
		return nil, false
	}
	r := reader{rest: d.out}
	changes := r.changes(len(d.marks))
	return changes, r.err == nil
}
