package backfill

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// assigned is what a row says of a field.
type assigned struct {
	field string
	value bson.RawValue
	unset bool
}

// parse takes a row apart: the value that finds its document, and what becomes of the other fields.
func (r *rowsOf) parse(item bson.Raw) (by bson.RawValue, fields []assigned, err error) {
	columns := r.columns
	if r.format == formatNDJSON {
		columns = r.columnsOf(item)
		if err := checkFields(columns); err != nil {
			return by, nil, err
		}
	}
	for _, c := range columns {
		cell := item.Lookup(c.name)
		if r.format != formatNDJSON {
			if cell, err = c.kind.value(cell); err != nil && !errors.Is(err, errEmptyCell) {
				return by, nil, fmt.Errorf("column %s: %w", c.name, err)
			}
		}
		switch {
		case c.field == r.by:
			by = cell
		case err == nil && !(r.empty != emptyText && isEmptyText(cell)):
			fields = append(fields, assigned{field: c.field, value: cell})
		case r.empty == emptyNull:
			fields = append(fields, assigned{field: c.field, value: bson.RawValue{Type: bson.TypeNull}})
		case r.empty == emptyUnset:
			fields = append(fields, assigned{field: c.field, unset: true})
		case r.empty == emptyText:
			return by, nil, fmt.Errorf("column %s is empty, which is no %s: --empty=skip leaves the field as it is, null and unset make it that", c.name, c.kind)
		}
	}
	return by, fields, r.findable(by)
}

// findable refuses a value that finds no document, or others than those that have it.
func (r *rowsOf) findable(by bson.RawValue) error {
	switch by.Type { //nolint:exhaustive // others are fine
	case 0, bson.TypeNull, bson.TypeUndefined:
		return fmt.Errorf("there is no value for %s, which is to find the document", r.by)
	case bson.TypeRegex, bson.TypeArray, bson.TypeMinKey, bson.TypeMaxKey:
		return fmt.Errorf("%s is %s, which finds other documents than those that have it", r.by, by)
	}
	if isEmptyText(by) {
		return fmt.Errorf("there is no value for %s, which is to find the document", r.by)
	}
	return nil
}

func isEmptyText(v bson.RawValue) bool {
	text, ok := v.StringValueOK()
	return ok && text == ""
}

// changes looks the documents of a chunk of rows up, in its transaction, and says what becomes of them.
func (r *rowsOf) changes(ctx context.Context, x *encoder, items []bson.Raw) ([]request, []error, error) {
	requests, errs := make([]request, len(items)), make([]error, len(items))
	values, fields := make([]bson.RawValue, len(items)), make([][]assigned, len(items))
	var asked []bson.RawValue
	for i, item := range items {
		if values[i], fields[i], errs[i] = r.parse(item); errs[i] == nil {
			asked = append(asked, values[i])
		}
	}
	found, err := findBy(ctx, DB(ctx).Collection(r.collection), r.by, asked, r.collated)
	if err != nil {
		return nil, nil, err
	}
	for i := range items {
		var change Change
		if errs[i] == nil {
			change, errs[i] = r.change(values[i], fields[i], found)
		}
		if errs[i] == nil {
			requests[i], errs[i] = x.encode(change)
		}
		errs[i] = failed(errs[i])
	}
	return requests, errs, nil
}

// change is what becomes of the one document that a row is about.
func (r *rowsOf) change(by bson.RawValue, fields []assigned, found map[string][]bson.RawValue) (Change, error) {
	ids := found[valueKey(by)]
	switch {
	case len(ids) > 1:
		return Change{}, fmt.Errorf("more than one document has %s = %s: which one is meant can't be told", r.by, relaxed(by))
	case len(ids) == 0 && r.mode == changeUpsert:
		doc, id := r.newDocument(by, fields)
		found[valueKey(by)] = []bson.RawValue{id} // another row may name it
		return Upsert(doc).For(id), nil
	case len(ids) == 0:
		err := fmt.Errorf("no document has %s = %s", r.by, relaxed(by))
		if by.Type == bson.TypeString && r.format != formatNDJSON {
			err = fmt.Errorf("%w as a text; if it is a number or a date there, say so with --types", err)
		}
		return Change{}, err
	case r.mode == changeDelete:
		delete(found, valueKey(by)) // for another row there is none
		return Delete().For(ids[0]), nil
	}
	c := Change{}
	for _, f := range fields {
		switch {
		case f.field == "_id":
			if !f.value.Equal(ids[0]) {
				return Change{}, fmt.Errorf("the document with %s = %s has another _id, which can't be changed: leave the column out with --columns", r.by, relaxed(by))
			}
		case f.unset:
			c = c.Unset(f.field)
		default:
			c = c.Set(f.field, f.value)
		}
	}
	return c.For(ids[0]), nil
}

// newDocument is that of a row that has none, with its fields in the order of the columns.
func (r *rowsOf) newDocument(by bson.RawValue, fields []assigned) (doc bson.D, id bson.RawValue) {
	fields = append([]assigned{{field: r.by, value: by}}, fields...)
	for _, f := range fields {
		switch {
		case f.field == "_id":
			id = f.value
		case !f.unset:
			doc = assign(doc, strings.Split(f.field, "."), f.value)
		}
	}
	if id.IsZero() {
		fresh := bson.NewObjectID()
		id = bson.RawValue{Type: bson.TypeObjectID, Value: fresh[:]}
	}
	return doc, id
}

// assign sets a value at a path.
func assign(doc bson.D, path []string, value bson.RawValue) bson.D {
	if len(path) == 1 {
		return append(doc, bson.E{Key: path[0], Value: value})
	}
	for i, e := range doc {
		if inner, ok := e.Value.(bson.D); ok && e.Key == path[0] {
			doc[i].Value = assign(inner, path[1:], value)
			return doc
		}
	}
	return append(doc, bson.E{Key: path[0], Value: assign(nil, path[1:], value)})
}
