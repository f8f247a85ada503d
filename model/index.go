package model

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Index declares an index.
type Index struct {
	// Keys are the paths, separated by commas: "email", "team, -createdAt" (descending), "place:2dsphere", "id:hashed".
	// Text and wildcard indexes are for the driver.
	Keys string

	// Name is the index's name; empty means the usual one, as in email_1, and any name that the index has on the server.
	Name string

	// Unique refuses a second document with the same keys.
	Unique bool

	// Sparse leaves out documents without the keys.
	Sparse bool

	// TTL makes the server delete a document so long after the date in its key. Zero, as opposed to nil, means at that date.
	TTL *time.Duration

	// Partial is the filter of a partial index.
	Partial bson.D

	// Collation is the document of a collation, as in bson.D{{"locale", "en"}, {"strength", 2}}.
	Collation bson.D
}

// spec is an index as the server knows it.
type spec struct {
	Key       bson.D `bson:"key"`
	Name      string `bson:"name"`
	Unique    bool   `bson:"unique,omitempty"`
	Sparse    bool   `bson:"sparse,omitempty"`
	Expire    *int64 `bson:"expireAfterSeconds,omitempty"`
	Partial   bson.D `bson:"partialFilterExpression,omitempty"`
	Collation bson.D `bson:"collation,omitempty"`
}

// spec turns the declaration into what createIndexes takes.
func (ix Index) spec() (spec, error) {
	s := spec{Unique: ix.Unique, Sparse: ix.Sparse, Partial: ix.Partial, Collation: ix.Collation, Name: ix.Name}
	var names []string
	seen := map[string]bool{}
	for part := range strings.SplitSeq(ix.Keys, ",") {
		path, kind, _ := strings.Cut(strings.TrimSpace(part), ":")
		var direction any = int32(1)
		if after, ok := strings.CutPrefix(path, "-"); ok {
			path, direction = after, int32(-1)
		}
		switch kind {
		case "":
		case "hashed", "2dsphere":
			direction = kind
		default:
			return spec{}, fmt.Errorf("index %q: there is no kind %q here; use hashed or 2dsphere, or the driver", ix.Keys, kind)
		}
		if path == "" || strings.ContainsAny(path, " $") || seen[path] {
			return spec{}, fmt.Errorf("index %q: the path %q is empty, invalid or there twice; write it as \"team, -createdAt\"", ix.Keys, path)
		}
		seen[path] = true
		s.Key = append(s.Key, bson.E{Key: path, Value: direction})
		names = append(names, fmt.Sprintf("%s_%v", path, direction))
	}
	if s.Name == "" {
		s.Name = strings.Join(names, "_")
	}
	if ix.TTL != nil {
		seconds := int64(*ix.TTL / time.Second)
		if *ix.TTL < 0 || *ix.TTL%time.Second != 0 || seconds > 1<<31-1 || len(s.Key) != 1 {
			return spec{}, fmt.Errorf("index %q: a TTL needs one key, and whole seconds from 0 to 68 years, not %v", ix.Keys, *ix.TTL)
		}
		s.Expire = &seconds
	}
	if ix.Sparse && ix.Partial != nil {
		return spec{}, fmt.Errorf("index %q: sparse and partial exclude each other; put the condition into Partial", ix.Keys)
	}
	return s, nil
}

// specs checks all declarations.
func (c Collection[T]) specs() ([]spec, error) {
	var list []spec
	var errs []error
	names := map[string]bool{}
	for _, ix := range c.Indexes {
		s, err := ix.spec()
		if err == nil && names[s.Name] {
			err = fmt.Errorf("index %q: the name %s is there twice; name one of them", ix.Keys, s.Name)
		}
		names[s.Name] = true
		list, errs = append(list, s), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("collection %s: %w", c.Name, err)
	}
	return list, nil
}

// same says whether the server's index does what is declared.
func (s spec) same(have spec) bool {
	return s.sameKey(have) && s.Unique == have.Unique && s.Sparse == have.Sparse &&
		text(s.Expire) == text(have.Expire) && text(s.Partial) == text(have.Partial) && s.sameCollation(have)
}

// sameKey compares directions as numbers: other drivers store 1.0.
func (s spec) sameKey(have spec) bool {
	if len(s.Key) != len(have.Key) {
		return false
	}
	for i, e := range s.Key {
		h := have.Key[i]
		if e.Key != h.Key || fmt.Sprint(e.Value) != fmt.Sprint(h.Value) {
			return false
		}
	}
	return true
}

// sameCollation compares what is declared; the server adds every default.
func (s spec) sameCollation(have spec) bool {
	if (s.Collation == nil) != (have.Collation == nil) {
		return false
	}
	there := map[string]string{}
	for _, e := range have.Collation {
		there[e.Key] = fmt.Sprint(e.Value)
	}
	for _, e := range s.Collation {
		if there[e.Key] != fmt.Sprint(e.Value) {
			return false
		}
	}
	return true
}

// String writes the index for a diff.
func (s spec) String() string {
	var out strings.Builder
	out.WriteString(text(s.Key))
	for _, word := range []struct {
		on   bool
		text string
	}{
		{s.Unique, " unique"},
		{s.Sparse, " sparse"},
		{s.Expire != nil, " expires after " + text(s.Expire) + " s"},
		{s.Partial != nil, " where " + text(s.Partial)},
		{s.Collation != nil, " collation " + text(s.Collation)},
	} {
		if word.on {
			out.WriteString(word.text)
		}
	}
	return out.String()
}

// text writes a value as relaxed extended JSON, in which 1 and 1.0 differ no more than they do to the server.
func text(v any) string {
	if n, ok := v.(*int64); ok {
		if n == nil {
			return ""
		}
		return fmt.Sprint(*n)
	}
	if d, ok := v.(bson.D); ok && d == nil {
		return ""
	}
	data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, false, false)
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(data), `{"v":`), "}")
}
