package journal

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// restorer writes a document anew, with changes taken back.
type restorer struct {
	restored, done int
	conflicts      []Conflict
}

// verdict is what becomes of one path.
type verdict uint8

const (
	leave   verdict = iota // it conflicts, or is as before already
	restore                // its value before goes there
	drop                   // there was nothing before
)

// branch is what happened at or below one field.
type branch struct {
	name    string
	changes []Change // one whose path ends here, or those further down
	leaf    bool
	found   int // how often the field occurs in the present document
	pending bool
}

// document appends the fields in content with the changes taken back, all of which have the present path up to depth.
func (r *restorer) document(out, content []byte, changes []Change, depth int) ([]byte, error) {
	l, err := newLevel(changes, depth)
	if err != nil {
		return nil, err
	}
	if err := l.count(content); err != nil {
		return nil, err
	}
	r.missing(l)
	out = l.insert(out, nil)
	for len(content) > 0 {
		e, tail, ok := rawbson.Next(content)
		if !ok {
			return nil, errNoDocument
		}
		content = tail
		if out, err = r.field(out, l, e, depth); err != nil {
			return nil, err
		}
	}
	return l.append(out), nil
}

// field appends one field, and behind it those that stood there before.
func (r *restorer) field(out []byte, l *level, e rawbson.Element, depth int) (_ []byte, err error) {
	b := l.branch(e.Name)
	switch {
	case b == nil:
		out = append(out, e.Raw...)
	case b.found > 1:
		if b.found != reported {
			r.conflict(b.changes, e, reasonTwice)
			b.found = reported
		}
		out = append(out, e.Raw...)
	case b.leaf:
		c := &b.changes[0]
		switch r.decide(c, e) {
		case leave:
			out = append(out, e.Raw...)
		case restore:
			out = rawbson.Append(out, e.Name, c.Before)
		case drop:
		}
	case e.Kind == bson.TypeEmbeddedDocument:
		content, _ := rawbson.Fields(e.Value)
		var start int
		out, start = rawbson.OpenField(out, e.Kind, e.Name)
		if out, err = r.document(out, content, b.changes, depth+1); err != nil {
			return nil, err
		}
		out = rawbson.Close(out, start)
	default:
		r.conflict(b.changes, e, reasonChanged)
		out = append(out, e.Raw...)
	}
	return l.insert(out, &e), nil
}

// decide compares a field with what the run found and left there.
func (r *restorer) decide(c *Change, e rawbson.Element) verdict {
	switch {
	case !absent(c.Before) && e.Kind == c.Before.Type && string(e.Value) == string(c.Before.Value):
		r.done++
		return leave
	case !c.left(e.Kind, e.Value):
		r.conflicts = append(r.conflicts, Conflict{Path: c.Path, Reason: reasonChanged, Found: e.RawValue()})
		return leave
	}
	r.restored++
	if absent(c.Before) {
		return drop
	}
	return restore
}

// missing decides about the fields that aren't there.
func (r *restorer) missing(l *level) {
	for i := range l.branches {
		b := &l.branches[i]
		if b.found > 0 {
			continue
		}
		for j := range b.changes {
			switch c := &b.changes[j]; {
			case absent(c.Before):
				r.done++
			case b.leaf && c.gone():
				r.restored++
				b.pending = true
			default:
				r.conflicts = append(r.conflicts, Conflict{Path: c.Path, Reason: reasonRemoved})
			}
		}
	}
}

func (r *restorer) conflict(changes []Change, e rawbson.Element, reason string) {
	for i := range changes {
		c := Conflict{Path: changes[i].Path, Reason: reason}
		if len(changes) == 1 {
			c.Found = e.RawValue()
		}
		r.conflicts = append(r.conflicts, c)
	}
}
