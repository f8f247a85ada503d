package model

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ruleTags are the tags that say something of a value.
var ruleTags = [...]string{"enum", "min", "max", "minLength", "maxLength", "pattern"}

// rules adds the rules of a field's tags to its schema. Those of a list's or a map's values go to the items.
func (b *builder) rules(schema bson.D, typ reflect.Type, tag reflect.StructTag, at string) bson.D {
	kind := bsonKind(typ)
	for _, e := range []struct{ tag, array, object string }{{"minItems", "minItems", "minProperties"}, {"maxItems", "maxItems", "maxProperties"}} {
		n, ok := b.count(tag, e.tag, at)
		switch {
		case !ok:
		case kind == "array":
			schema = append(schema, bson.E{Key: e.array, Value: n})
		case kind == "object" && typ.Kind() == reflect.Map:
			schema = append(schema, bson.E{Key: e.object, Value: n})
		default:
			b.fail(at, "%s is for lists and maps", e.tag)
		}
	}
	if unique, ok := tag.Lookup("unique"); ok {
		if kind != "array" || unique != "true" {
			b.fail(at, "unique is for lists, and says true; a unique index is declared in Collection.Indexes")
		}
		schema = append(schema, bson.E{Key: "uniqueItems", Value: true})
	}
	if !slices.ContainsFunc(ruleTags[:], func(name string) bool { _, ok := tag.Lookup(name); return ok }) {
		return schema
	}
	part := map[string]string{"array": "items", "object": "additionalProperties"}[kind]
	if part == "" || typ.Kind() == reflect.Struct {
		return b.valueRules(schema, typ, tag, at)
	}
	for i, e := range schema {
		if items, ok := e.Value.(bson.D); ok && e.Key == part {
			schema[i].Value = b.itemRules(items, typ.Elem(), tag, at+"[]")
			return schema
		}
	}
	b.fail(at, "its values are of no one type, so no rule can be checked against them")
	return schema
}

// itemRules adds the rules of a list's or a map's values.
func (b *builder) itemRules(schema bson.D, typ reflect.Type, tag reflect.StructTag, at string) bson.D {
	if typ.Kind() != reflect.Pointer {
		return b.valueRules(schema, typ, tag, at)
	}
	return nullable(b.itemRules(schema, typ.Elem(), tag, at))
}

// bsonKind is the type's bsonType where there is just one, or number.
func bsonKind(typ reflect.Type) string {
	if name, ok := known()[typ]; ok {
		return name
	}
	if marshals(typ) {
		return ""
	}
	switch typ.Kind() {
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "int"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "uint"
	case reflect.Float32, reflect.Float64:
		return "float"
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return "binData"
		}
		return "array"
	case reflect.Array:
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	default:
		return ""
	}
}

// valueRules adds enum, bounds, lengths and pattern.
func (b *builder) valueRules(schema bson.D, typ reflect.Type, tag reflect.StructTag, at string) bson.D {
	kind := bsonKind(typ)
	add := func(key string, value any) { schema = append(schema, bson.E{Key: key, Value: value}) }
	if words, ok := tag.Lookup("enum"); ok {
		if kind != "string" && kind != "int" && kind != "uint" {
			b.fail(at, "enum is for strings and whole numbers")
		} else {
			add("enum", b.enum(words, typ, at))
		}
	}
	for _, bound := range []struct{ tag, number, length string }{{"min", "minimum", "minLength"}, {"max", "maximum", "maxLength"}} {
		text, ok := tag.Lookup(bound.tag)
		switch {
		case !ok:
		case kind == "string":
			if n, ok := b.count(tag, bound.tag, at); ok {
				add(bound.length, n)
			}
		default:
			if v, ok := b.number(text, typ, bound.tag, at); ok {
				add(bound.number, v)
			}
		}
	}
	for _, name := range []string{"minLength", "maxLength"} {
		if n, ok := b.count(tag, name, at); ok {
			if kind != "string" {
				b.fail(at, "%s is for strings", name)
			}
			add(name, n)
		}
	}
	if pattern, ok := tag.Lookup("pattern"); ok {
		if kind != "string" {
			b.fail(at, "pattern is for strings")
		}
		if _, err := regexp.Compile(pattern); err != nil {
			b.fail(at, "pattern: %w", err)
		}
		add("pattern", pattern)
	}
	return schema
}

func (b *builder) enum(words string, typ reflect.Type, at string) bson.A {
	list := bson.A{}
	for word := range strings.SplitSeq(words, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		if typ.Kind() == reflect.String {
			list = append(list, word)
		} else if v, ok := b.number(word, typ, "enum", at); ok {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		b.fail(at, "enum names no value")
	}
	return list
}

// number reads a bound in the type's own words: 5m for a duration, 1.50 for a decimal.
func (b *builder) number(text string, typ reflect.Type, name, at string) (any, bool) {
	var v any
	var err error
	switch kind := bsonKind(typ); {
	case typ == reflect.TypeFor[time.Duration]():
		var d time.Duration
		d, err = time.ParseDuration(text)
		v = int64(d)
	case kind == "int" || kind == "uint":
		var n int64
		if n, err = strconv.ParseInt(text, 10, 64); err == nil && (kind == "uint" && n < 0 || kind == "int" && reflect.Zero(typ).OverflowInt(n)) {
			err = strconv.ErrRange
		}
		v = n
	case kind == "float":
		v, err = strconv.ParseFloat(text, 64)
	case kind == "decimal":
		v, err = bson.ParseDecimal128(text)
	default:
		b.fail(at, "%s has no meaning for a %s", name, typ)
		return nil, false
	}
	if err != nil {
		b.fail(at, "%s:%q: %w", name, text, err)
		return nil, false
	}
	return v, true
}

func (b *builder) count(tag reflect.StructTag, name, at string) (int64, bool) {
	text, ok := tag.Lookup(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		b.fail(at, "%s:%q must be a whole number of 0 or more", name, text)
		return 0, false
	}
	return n, true
}
