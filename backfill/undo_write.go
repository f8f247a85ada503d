package backfill

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// A server stores most documents as they are told. These it doesn't:
//
//   - Empty timestamps at the top of a document that is inserted or replaces another: it fills in the time.
//   - Fields at the top that begin with a dollar: a replacement with one is refused.
//
// Both are stored byte for byte by the pipeline [{$replaceWith: {$literal: document}}]. But a server that compares a document in
// which a name stands twice with what such a pipeline makes of it can end itself. Such a document is deleted, and put in its
// place again, in the same transaction.

// takesLiteral tells whether a document takes the pipeline.
func takesLiteral(doc bson.Raw) bool {
	content, ok := rawbson.Fields(doc)
	for ok && len(content) > 0 {
		var e rawbson.Element
		if e, content, ok = rawbson.Next(content); ok && (strings.HasPrefix(string(e.Name), "$") || isEmptyTimestamp(e)) {
			return true
		}
	}
	return false
}

func isEmptyTimestamp(e rawbson.Element) bool {
	return e.Kind == bson.TypeTimestamp && string(e.Value) == "\x00\x00\x00\x00\x00\x00\x00\x00"
}

// note puts what restore has computed into the undo's own journal.
func (t *undoTarget) note(c *chunk) error {
	if t.ns != "" {
		c.others = append(c.others, t.ns)
	}
	for _, d := range t.list {
		if string(d.before) == string(d.now) {
			continue
		}
		if _, err := c.journal.Add(t.ns, d.before, d.now); err != nil {
			return err
		}
	}
	return nil
}

// write does what restore has computed. Deletions come first and insertions last: each state between is a part of one that
// was there before, so that no unique index is in the way of what had been possible. Updates go back the way they came.
func (t *undoTarget) write(ctx context.Context, c *chunk) error {
	s := t.statements(c)
	var deleted, changed int64
	for _, d := range t.list {
		if d.before != nil && d.now == nil {
			s.remove(d.index, d.id)
			deleted++
		}
	}
	var odd []*undoDoc
	for _, d := range t.list {
		if d.before == nil || d.now == nil || string(d.before) == string(d.now) {
			continue
		}
		changed++
		if s.restore(d) {
			odd = append(odd, d)
		}
	}
	for _, d := range t.list {
		if d.before != nil || d.now == nil {
			continue
		}
		changed++
		if !takesLiteral(d.now) {
			s.insert(d.index, d.now)
			continue
		}
		s.put(d.index, d.id, d.now, true)
		odd = append(odd, d)
	}
	if _, err := s.send(ctx); err != nil {
		return err
	}
	if t.ns == "" {
		c.counts.Changed += changed
		c.counts.Deleted += deleted
	} else {
		c.counts.Written += changed + deleted
	}
	return t.stored(ctx, odd)
}

// statements are those that the chunk writes to this collection.
func (t *undoTarget) statements(c *chunk) *statements {
	s := newStatements(c.e, t.coll)
	if t.ns == "" && !c.dry {
		s = c.memory.statements
		s.reset()
	}
	s.unvalidated = t.place.validated && t.place.bypass
	return s
}

// restore puts a document in the place of the one that is there, and tells whether that took another form than usual.
func (s *statements) restore(d *undoDoc) bool {
	if !takesLiteral(d.now) {
		s.replace(d.index, d.id, d.now, false)
		return false
	}
	if hasTwice(d.before) || hasTwice(d.now) {
		s.remove(d.index, d.id)
		s.put(d.index, d.id, d.now, true)
	} else {
		s.put(d.index, d.id, d.now, false)
	}
	return true
}

// hasTwice tells whether a name stands twice in a document, or in one in it.
func hasTwice(doc []byte) bool {
	content, ok := rawbson.Fields(doc)
	names := make(map[string]bool)
	for ok && len(content) > 0 {
		var e rawbson.Element
		if e, content, ok = rawbson.Next(content); !ok {
			break
		}
		if names[string(e.Name)] {
			return true
		}
		names[string(e.Name)] = true
		if (e.Kind == bson.TypeEmbeddedDocument || e.Kind == bson.TypeArray) && hasTwice(e.Value) {
			return true
		}
	}
	return !ok
}

// stored makes sure that documents of an unusual form are there byte for byte. One that isn't is a conflict.
func (t *undoTarget) stored(ctx context.Context, docs []*undoDoc) error {
	ids := make([]bson.RawValue, len(docs))
	for i, d := range docs {
		ids[i] = d.id
	}
	there, err := byID(ctx, t.coll, ids)
	if err != nil {
		return err
	}
	for _, d := range docs {
		if now, ok := there[valueKey(d.id)]; !ok || string(now) != string(d.now) {
			return &documentError{index: d.index, class: classConflict, err: errors.New("the server stores what was there in another form")}
		}
	}
	return nil
}

// inTheWay makes what keeps a document from coming back a conflict: a clash in a unique index, and what a validator refuses. In a chunk of
// several documents a clash can be one with another of them whose turn comes later, so the chunk gets smaller first.
func (w *undoWork) inTheWay(c *chunk, t *undoTarget, err error) error {
	doc, ok := errors.AsType[*documentError](err)
	switch {
	case !ok:
		return err
	case mongo.IsDuplicateKeyError(err):
		index := doc.index
		if len(c.keys) > 1 && !c.dry {
			index, c.memory.undo.limit = -1, max(1, c.size/2)
		}
		return &documentError{index: index, class: classConflict, err: fmt.Errorf("a unique index is in the way: %w", err)}
	case hasAnyCode(err, codeValidation):
		return &documentError{index: doc.index, class: classConflict, err: fmt.Errorf(
			"the validator of %s refuses the document as it was; an account with the right bypassDocumentValidation can restore it: %w", t.coll.Name(), err)}
	default:
		return err
	}
}
