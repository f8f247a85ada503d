package journal

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// maxDocument is the largest document that the server stores.
const maxDocument = 16 << 20

// Action is what undoing an entry does to the document with its id.
type Action uint8

// The actions.
const (
	ActionNone Action = iota // nothing is left to do, or all of it conflicts
	// ActionReplace is by Restoration.Document, through the pipeline [{$replaceWith: {$literal: document}}]: the server refuses
	// a plain replacement that has a field whose name begins with a dollar.
	ActionReplace
	ActionInsert // Restoration.Document
	ActionDelete
)

var actionNames = [...]string{ActionNone: "none", ActionReplace: "replace", ActionInsert: "insert", ActionDelete: "delete"}

func (a Action) String() string { return actionNames[a] }

// Restoration says how an entry is undone.
type Restoration struct {
	Action   Action
	Document bson.Raw
	// Restored counts the paths that the action takes back, Done those that were as before already. A whole document counts
	// as one.
	Restored, Done int
	Conflicts      []Conflict
}

// Conflict is a path that the run changed and that somebody else has changed since. It stays as it is.
type Conflict struct {
	Path   Path // empty: the whole document
	Reason string
	// Found is the value that is there now; zero if there is none, or if the path is the whole document.
	Found bson.RawValue
}

func (c Conflict) String() string {
	if len(c.Path) == 0 {
		return c.Reason
	}
	return c.Path.String() + ": " + c.Reason
}

// The reasons for a conflict.
const (
	reasonChanged   = "changed since the run"
	reasonRemoved   = "removed since the run"
	reasonDeleted   = "the document was deleted since the run"
	reasonRecreated = "the document was created again since the run"
	reasonTwice     = "the field occurs twice"
	reasonTooLarge  = "the document would be larger than 16 MiB"
)

// Restore computes how to undo the entry, given the document with its id as it is now, or nil if there is none. The caller
// must have read it in the transaction in which it does what Restore says.
func (e *Entry) Restore(current bson.Raw) (Restoration, error) {
	if e.IDOnly {
		return Restoration{}, ErrNotUndoable
	}
	switch e.Op {
	case Insert:
		return e.uninsert(current), nil
	case Delete:
		return e.undelete(current), nil
	case Replace:
		return e.unreplace(current), nil
	case Update:
		if current == nil {
			return conflict(reasonDeleted), nil
		}
		return e.unupdate(current)
	}
	return Restoration{}, fmt.Errorf("%w: %s", ErrCorrupt, e.Op)
}

func conflict(reason string) Restoration {
	return Restoration{Conflicts: []Conflict{{Reason: reason}}}
}

func (e *Entry) uninsert(current bson.Raw) Restoration {
	switch {
	case current == nil:
		return Restoration{Done: 1}
	case e.left(current):
		return Restoration{Action: ActionDelete, Restored: 1}
	}
	return conflict(reasonChanged)
}

func (e *Entry) undelete(current bson.Raw) Restoration {
	switch {
	case current == nil:
		return Restoration{Action: ActionInsert, Document: e.Before, Restored: 1}
	case string(current) == string(e.Before):
		return Restoration{Done: 1}
	}
	return conflict(reasonRecreated)
}

func (e *Entry) unreplace(current bson.Raw) Restoration {
	switch {
	case current == nil:
		return conflict(reasonDeleted)
	case string(current) == string(e.Before):
		return Restoration{Done: 1}
	case e.left(current):
		return Restoration{Action: ActionReplace, Document: e.Before, Restored: 1}
	}
	return conflict(reasonChanged)
}

// Paths lists what the entry changed, path by path. There is nothing to list for inserts and deletes, for documents that
// paths can't express, and where only ids were kept.
func (e *Entry) Paths() []Change {
	if e.Changes != nil || e.Op != Update || e.Before == nil {
		return e.Changes
	}
	changes, _ := Diff(e.Before, e.After)
	return changes
}

func (e *Entry) unupdate(current bson.Raw) (Restoration, error) {
	content, ok := rawbson.Fields(current)
	if !ok {
		return Restoration{}, errNoDocument
	}
	changes := e.Paths()
	if len(changes) == 0 && e.Before != nil {
		return e.unreplace(current), nil
	}
	r := restorer{}
	out, start := rawbson.Open(make([]byte, 0, len(current)+256))
	out, err := r.document(out, content, changes, 0)
	if err != nil {
		return Restoration{}, err
	}
	out = rawbson.Close(out, start)
	switch {
	case r.restored == 0:
		return Restoration{Done: r.done, Conflicts: r.conflicts}, nil
	case len(out) > maxDocument:
		return conflict(reasonTooLarge), nil
	}
	return Restoration{Action: ActionReplace, Document: out, Restored: r.restored, Done: r.done, Conflicts: r.conflicts}, nil
}
