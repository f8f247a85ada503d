package model

import (
	"reflect"
	"slices"
	"strings"
)

// bsonTag is what the driver makes of a field's bson tag.
type bsonTag struct {
	name              string
	omitempty, inline bool
}

// readTag returns false for a field that the driver leaves out.
func readTag(f reflect.StructField) (bsonTag, bool) {
	text, ok := f.Tag.Lookup("bson")
	if !ok && !strings.Contains(string(f.Tag), ":") {
		text = string(f.Tag) // the driver reads a tag without keys as its own
	}
	if text == "-" || !f.IsExported() {
		return bsonTag{}, false
	}
	name, rest, _ := strings.Cut(text, ",")
	if name == "" {
		name = strings.ToLower(f.Name)
	}
	words := strings.Split(rest, ",")
	return bsonTag{name: name, omitempty: slices.Contains(words, "omitempty"), inline: slices.Contains(words, "inline")}, true
}
