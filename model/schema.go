package model

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Schema derives the validator, {$jsonSchema: …}, from the struct. The error names every field whose tags make no sense.
func (c Collection[T]) Schema() (bson.D, error) {
	b := builder{}
	typ := reflect.TypeFor[T]()
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("collection %s: its documents are a %s; a validator is derived from a struct", c.Name, typ)
	}
	schema := b.object(typ, "")
	if err := errors.Join(b.errs...); err != nil {
		return nil, fmt.Errorf("collection %s: %w", c.Name, err)
	}
	return bson.D{{Key: "$jsonSchema", Value: schema}}, nil
}

// builder walks a type.
type builder struct {
	errs []error
	open []reflect.Type // the structs that the walk is within
}

func (b *builder) fail(path, format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf("field "+path+": "+format, args...))
}

// object describes a struct.
func (b *builder) object(typ reflect.Type, path string) bson.D {
	schema := bson.D{{Key: "bsonType", Value: "object"}}
	if slices.Contains(b.open, typ) {
		return schema // a tree: a schema cannot refer to itself there
	}
	b.open = append(b.open, typ)
	defer func() { b.open = b.open[:len(b.open)-1] }()
	var f fields
	b.fields(&f, typ, path)
	if len(f.required) > 0 {
		slices.Sort(f.required)
		schema = append(schema, bson.E{Key: "required", Value: f.required})
	}
	if len(f.properties) > 0 {
		schema = append(schema, bson.E{Key: "properties", Value: f.properties})
	}
	if f.rest != nil {
		schema = append(schema, bson.E{Key: "additionalProperties", Value: f.rest})
	}
	return schema
}

// fields are what a struct's own and inlined fields add up to.
type fields struct {
	required   []string
	properties bson.D
	rest       bson.D // of an inlined map
}

func (b *builder) fields(f *fields, typ reflect.Type, path string) {
	for sf := range typ.Fields() {
		tag, ok := readTag(sf)
		if !ok {
			continue
		}
		at := path + sf.Name
		if tag.inline {
			b.inline(f, sf.Type, at)
			continue
		}
		if slices.ContainsFunc(f.properties, func(e bson.E) bool { return e.Key == tag.name }) {
			b.fail(at, "the name %s is there twice; the driver would refuse the struct", tag.name)
			continue
		}
		schema := b.field(sf, tag, at)
		f.properties = append(f.properties, bson.E{Key: tag.name, Value: schema})
		if b.required(sf, tag, at) {
			f.required = append(f.required, tag.name)
		}
	}
}

func (b *builder) inline(f *fields, typ reflect.Type, at string) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ.Kind() == reflect.Map:
		f.rest = b.value(typ.Elem(), at)
	case typ.Kind() == reflect.Struct && !slices.Contains(b.open, typ):
		b.open = append(b.open, typ)
		b.fields(f, typ, at+".")
		b.open = b.open[:len(b.open)-1]
	default:
		b.fail(at, "a %s cannot be inlined", typ)
	}
}

// field describes one field: its type, and the rules of its tags.
func (b *builder) field(sf reflect.StructField, tag bsonTag, at string) bson.D {
	typ, null := sf.Type, false
	for typ.Kind() == reflect.Pointer && !marshals(typ) {
		typ, null = typ.Elem(), true
	}
	if k := typ.Kind(); (k == reflect.Slice || k == reflect.Map) && !tag.omitempty {
		null = true // a nil slice is written so
	}
	schema := b.value(typ, at)
	schema = b.rules(schema, typ, sf.Tag, at)
	if help := sf.Tag.Get("help"); help != "" {
		schema = append(schema, bson.E{Key: "description", Value: help})
	}
	if null {
		schema = nullable(schema)
	}
	return schema
}

func (b *builder) required(sf reflect.StructField, tag bsonTag, at string) bool {
	switch text, ok := sf.Tag.Lookup("required"); {
	case !ok:
		return !tag.omitempty
	case text == "true":
		return true
	case text != "false":
		b.fail(at, "required:%q must be true or false", text)
	}
	return false
}

// nullable lets null pass too.
func nullable(schema bson.D) bson.D {
	out := slices.Clone(schema)
	for i, e := range out {
		switch e.Key {
		case "bsonType":
			types, ok := e.Value.(bson.A)
			if !ok {
				types = bson.A{e.Value}
			}
			out[i].Value = with(types, "null")
		case "enum":
			if words, ok := e.Value.(bson.A); ok {
				out[i].Value = with(words, nil)
			}
		}
	}
	return out
}

// with adds v to the list if it is not there.
func with(list bson.A, v any) bson.A {
	if slices.Contains(list, v) {
		return list
	}
	return append(slices.Clone(list), v)
}

// value describes the values of a type.
func (b *builder) value(typ reflect.Type, at string) bson.D {
	if name, ok := known()[typ]; ok {
		return ofType(name)
	}
	if marshals(typ) {
		return bson.D{}
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return nullable(b.value(typ.Elem(), at))
	case reflect.Interface:
		return bson.D{}
	case reflect.Bool:
		return ofType("bool")
	case reflect.String:
		return ofType("string")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return ofType("int", "long")
	case reflect.Float32, reflect.Float64:
		return ofType("double", "int", "long")
	case reflect.Slice, reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 && typ.Kind() == reflect.Slice {
			return ofType("binData")
		}
		return withPart(ofType("array"), "items", b.value(typ.Elem(), at+"[]"))
	case reflect.Map:
		return withPart(ofType("object"), "additionalProperties", b.value(typ.Elem(), at+"{}"))
	case reflect.Struct:
		return b.object(typ, at+".")
	default:
		b.fail(at, "a %s cannot be stored", typ)
		return bson.D{}
	}
}

// withPart adds what is said of items, unless nothing is said.
func withPart(schema bson.D, key string, part bson.D) bson.D {
	if len(part) == 0 {
		return schema
	}
	return append(schema, bson.E{Key: key, Value: part})
}

func ofType(names ...string) bson.D {
	if len(names) == 1 {
		return bson.D{{Key: "bsonType", Value: names[0]}}
	}
	list := bson.A{}
	for _, n := range names {
		list = append(list, n)
	}
	return bson.D{{Key: "bsonType", Value: list}}
}

// known are the types that the driver stores in their own way.
func known() map[reflect.Type]string {
	return map[reflect.Type]string{
		reflect.TypeFor[bson.ObjectID]():   "objectId",
		reflect.TypeFor[bson.Decimal128](): "decimal",
		reflect.TypeFor[bson.DateTime]():   "date",
		reflect.TypeFor[time.Time]():       "date",
		reflect.TypeFor[bson.Timestamp]():  "timestamp",
		reflect.TypeFor[bson.Binary]():     "binData",
		reflect.TypeFor[bson.Regex]():      "regex",
		reflect.TypeFor[bson.D]():          "object",
		reflect.TypeFor[bson.M]():          "object",
		reflect.TypeFor[bson.Raw]():        "object",
		reflect.TypeFor[bson.A]():          "array",
	}
}

// marshals says whether the type, or a pointer to it, writes itself, so that nobody knows as what.
func marshals(typ reflect.Type) bool {
	if typ == reflect.TypeFor[bson.RawValue]() || typ == reflect.TypeFor[bson.RawArray]() {
		return true
	}
	for _, t := range []reflect.Type{typ, reflect.PointerTo(typ)} {
		if t.Implements(reflect.TypeFor[bson.ValueMarshaler]()) || t.Implements(reflect.TypeFor[bson.Marshaler]()) {
			return true
		}
	}
	return false
}
