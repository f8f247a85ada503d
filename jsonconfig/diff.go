package jsonconfig

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/bsondiff"
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
	found, err := bsondiff.Documents(a, b)
	if err != nil {
		return nil, err
	}
	changes := make([]Change, len(found))
	for i, c := range found {
		changes[i] = Change(c)
	}
	return changes, nil
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
