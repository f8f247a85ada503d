package bsondiff

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Change is one difference between two documents. From is zero when the field
// was added, To when it was removed.
type Change struct {
	Path     string
	From, To bson.RawValue
}

// Documents returns what differs between two documents, field by field. What
// only the second has comes last. The order of fields makes no difference; the
// types of values do. nil is an empty document.
func Documents(from, to bson.Raw) ([]Change, error) {
	return documents(nil, "", orEmpty(from), orEmpty(to))
}

func orEmpty(doc bson.Raw) bson.Raw {
	if len(doc) == 0 {
		return bson.Raw{5, 0, 0, 0, 0}
	}
	return doc
}

func documents(changes []Change, path string, a, b bson.Raw) ([]Change, error) {
	from, err := a.Elements()
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", path, err)
	}
	to, err := b.Elements()
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", path, err)
	}
	olds, news := byName(from), byName(to)
	for _, e := range from {
		at := Field(path, e.Key())
		value, kept := news[e.Key()]
		if !kept {
			changes = append(changes, Change{Path: at, From: e.Value()})
			continue
		}
		if changes, err = values(changes, at, e.Value(), value); err != nil {
			return nil, err
		}
	}
	for _, e := range to {
		if _, known := olds[e.Key()]; !known {
			changes = append(changes, Change{Path: Field(path, e.Key()), To: e.Value()})
		}
	}
	return changes, nil
}

func byName(elements []bson.RawElement) map[string]bson.RawValue {
	named := make(map[string]bson.RawValue, len(elements))
	for _, e := range elements {
		named[e.Key()] = e.Value()
	}
	return named
}

func values(changes []Change, path string, a, b bson.RawValue) ([]Change, error) {
	switch {
	case a.Type != b.Type:
	case a.Type == bson.TypeEmbeddedDocument:
		return documents(changes, path, a.Document(), b.Document())
	case a.Type == bson.TypeArray:
		return arrays(changes, path, a.Array(), b.Array())
	case bytes.Equal(a.Value, b.Value):
		return changes, nil
	}
	return append(changes, Change{Path: path, From: a, To: b}), nil
}

// diffArrays compares element by element, by place.
func arrays(changes []Change, path string, a, b bson.RawArray) ([]Change, error) {
	from, err := a.Values()
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", path, err)
	}
	to, err := b.Values()
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", path, err)
	}
	for i := range max(len(from), len(to)) {
		at := Index(path, i)
		switch {
		case i >= len(to):
			changes = append(changes, Change{Path: at, From: from[i]})
		case i >= len(from):
			changes = append(changes, Change{Path: at, To: to[i]})
		default:
			if changes, err = values(changes, at, from[i], to[i]); err != nil {
				return nil, err
			}
		}
	}
	return changes, nil
}

var plainName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$-]*$`)

// Field appends a field's name to a path.
func Field(path, name string) string {
	switch {
	case !plainName.MatchString(name):
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	default:
		return path + "." + name
	}
}

// Index appends a place in an array to a path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
