package jsonconfig

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Change is one difference between two versions.
type Change struct {
	// Path says where, such as name, aliases, value.perMinute or
	// value.rules[2].path. A field whose name isn't plain is quoted:
	// value["a.b"].
	Path string

	// From and To are the two values. From is zero when the field was added, To
	// when it was removed.
	From bson.RawValue
	To   bson.RawValue
}

// Added tells whether the field is in the second version only.
func (c Change) Added() bool { return c.From.IsZero() }

// Removed tells whether the field is in the first version only.
func (c Change) Removed() bool { return c.To.IsZero() }

// String returns one line for people: "+ path: new", "- path: old" or
// "~ path: old → new".
func (c Change) String() string {
	switch {
	case c.Added():
		return "+ " + c.Path + ": " + text(c.To, relaxed)
	case c.Removed():
		return "- " + c.Path + ": " + text(c.From, relaxed)
	}
	form := relaxed
	if text(c.From, relaxed) == text(c.To, relaxed) {
		form = canonical // they differ in type only
	}
	return "~ " + c.Path + ": " + text(c.From, form) + " → " + text(c.To, form)
}

func text(raw bson.RawValue, form bool) string {
	out, err := rawJSON(raw, form)
	if err != nil {
		return raw.Type.String()
	}
	return string(out)
}

// Diff returns what differs between two versions, field by field: the
// metadata and the value. What only the second has comes last. The order of a document's fields makes no
// difference; the types of values do.
func Diff(from, to Config) ([]Change, error) {
	a, err := shown(from)
	if err != nil {
		return nil, err
	}
	b, err := shown(to)
	if err != nil {
		return nil, err
	}
	return diffDocuments(nil, "", a, b)
}

// shown is the part of a version that Diff compares, as a document.
func shown(cfg Config) (bson.Raw, error) {
	doc := bson.D{{Key: "slug", Value: cfg.Slug}}
	if len(cfg.Aliases) > 0 {
		doc = append(doc, bson.E{Key: "aliases", Value: cfg.Aliases})
	}
	if cfg.Name != "" {
		doc = append(doc, bson.E{Key: "name", Value: cfg.Name})
	}
	if cfg.Description != "" {
		doc = append(doc, bson.E{Key: "description", Value: cfg.Description})
	}
	if cfg.Value != nil {
		value, err := encode(cfg.Value)
		if err != nil {
			return nil, fmt.Errorf("config %q, version %d: %w", cfg.Slug, cfg.Version, err)
		}
		doc = append(doc, bson.E{Key: "value", Value: value})
	}
	return bson.Marshal(doc)
}

func diffDocuments(changes []Change, path string, a, b bson.Raw) ([]Change, error) {
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
		at := joinField(path, e.Key())
		value, kept := news[e.Key()]
		if !kept {
			changes = append(changes, Change{Path: at, From: e.Value()})
			continue
		}
		if changes, err = diffValues(changes, at, e.Value(), value); err != nil {
			return nil, err
		}
	}
	for _, e := range to {
		if _, known := olds[e.Key()]; !known {
			changes = append(changes, Change{Path: joinField(path, e.Key()), To: e.Value()})
		}
	}
	return changes, nil
}

func byName(elements []bson.RawElement) map[string]bson.RawValue {
	values := make(map[string]bson.RawValue, len(elements))
	for _, e := range elements {
		values[e.Key()] = e.Value()
	}
	return values
}

func diffValues(changes []Change, path string, a, b bson.RawValue) ([]Change, error) {
	switch {
	case a.Type != b.Type:
	case a.Type == bson.TypeEmbeddedDocument:
		return diffDocuments(changes, path, a.Document(), b.Document())
	case a.Type == bson.TypeArray:
		return diffArrays(changes, path, a.Array(), b.Array())
	case bytes.Equal(a.Value, b.Value):
		return changes, nil
	}
	return append(changes, Change{Path: path, From: a, To: b}), nil
}

// diffArrays compares element by element, by place.
func diffArrays(changes []Change, path string, a, b bson.RawArray) ([]Change, error) {
	from, err := a.Values()
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", path, err)
	}
	to, err := b.Values()
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", path, err)
	}
	for i := range max(len(from), len(to)) {
		at := joinIndex(path, i)
		switch {
		case i >= len(to):
			changes = append(changes, Change{Path: at, From: from[i]})
		case i >= len(from):
			changes = append(changes, Change{Path: at, To: to[i]})
		default:
			if changes, err = diffValues(changes, at, from[i], to[i]); err != nil {
				return nil, err
			}
		}
	}
	return changes, nil
}

var plainName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$-]*$`)

func joinField(path, name string) string {
	switch {
	case !plainName.MatchString(name):
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	default:
		return path + "." + name
	}
}

func joinIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
