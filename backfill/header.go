package backfill

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// fitsType refuses a header that lacks a column for a field of the type that a function gets: it would be empty in each row.
func fitsType(header []string, t reflect.Type) error {
	for _, field := range needed(t) {
		if !slices.ContainsFunc(header, func(column string) bool { return column == field || strings.ToLower(column) == field }) {
			return fmt.Errorf("%w. A field that needs no column is a pointer, or has omitempty", noColumn(header, field))
		}
	}
	return nil
}

// needed are the fields that a type wants of each row: none where it may see more than its fields.
func needed(t reflect.Type) []string {
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || decodesItself(t) {
		return nil
	}
	var fields []string
	for f := range t.Fields() {
		name, inline := tagged(f)
		switch {
		case !f.IsExported() || name == "":
		case inline:
			fields = append(fields, needed(f.Type)...)
		case f.Type.Kind() == reflect.Pointer || slices.Contains(strings.Split(f.Tag.Get("bson"), ","), "omitempty"):
		default:
			fields = append(fields, name)
		}
	}
	return fields
}

// noColumn says that a header lacks a column, and what it looks like instead.
func noColumn(header []string, want string) error {
	for _, column := range header {
		if column == want {
			return fmt.Errorf("the column %s is left out by --columns: name it there, too", want)
		}
		if strings.TrimSpace(column) == want {
			return fmt.Errorf("there is no column %s, but one called %q: take the spaces out of the header", want, column)
		}
	}
	if len(header) == 1 {
		if i := strings.IndexAny(header[0], ";\t|,"); i >= 0 {
			return fmt.Errorf("there is no column %s, but only one, called %q: are the columns separated by %q? "+
				"Say so, with --separator or backfill.Separated", want, header[0], header[0][i])
		}
	}
	return fmt.Errorf("there is no column %s; the columns are %s", want, quotedList(header))
}

// quotedList names at most ten.
func quotedList(names []string) string {
	const most = 10
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	if len(names) > most {
		quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(quoted, ", ")
}
