package params

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// FromMap reads parameters from a map, as decoders of YAML and BSON or a Go program make it: nested or with dotted names,
// in any spelling. Values may be plain or have the Go type of the parameter. The error, an [*Error], is as with
// [Spec.FromJSON].
func (s *Spec) FromMap(m map[string]any, o Origin) (Layer, error) {
	l := newLayer(o)
	object := make(map[string]any, len(m))
	var problems []Problem
	for _, key := range sortedKeys(m) {
		raw, err := rawOf(reflect.ValueOf(m[key]), 1)
		if err != nil {
			name := shorten(key)
			problems = append(problems, Problem{Field: name, Name: label(o, name), Message: err.Error(), Origin: o})
			continue
		}
		object[key] = raw
	}
	problems = append(problems, l.flatten(s.root, place{}, object)...)
	return l, asError(problems)
}

// rawOf turns a Go value into a raw one.
func rawOf(v reflect.Value, depth int) (any, error) {
	for v.IsValid() && (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer && !isText(v)) {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		return nil, nil
	case depth > MaxDepth:
		return nil, fmt.Errorf("nests deeper than %d levels", MaxDepth)
	}
	if raw, ok, err := rawKnown(v.Interface()); ok {
		return raw, err
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return json.Number(strconv.FormatInt(v.Int(), 10)), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return json.Number(strconv.FormatUint(v.Uint(), 10)), nil
	case reflect.Float32, reflect.Float64:
		return json.Number(strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())), nil
	case reflect.Slice, reflect.Array:
		return rawList(v, depth)
	case reflect.Map:
		return rawMap(v, depth)
	default:
		return nil, fmt.Errorf("a %s is no value for a parameter", v.Type())
	}
}

// rawKnown handles the types that have a text of their own.
func rawKnown(v any) (raw any, ok bool, err error) {
	switch x := v.(type) {
	case json.Number:
		return x, true, nil
	case Secret:
		return x.Reveal(), true, nil
	case time.Duration:
		return x.String(), true, nil
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano), true, nil
	case bson.DateTime:
		return x.Time().UTC().Format(time.RFC3339Nano), true, nil
	case bson.ObjectID:
		return x.Hex(), true, nil
	case bson.Decimal128:
		return x.String(), true, nil
	case bson.Binary:
		s, err := writeUUID(x)
		return s, true, err
	case bson.D:
		object := map[string]any{}
		for _, e := range x {
			object[e.Key] = e.Value
		}
		raw, err := rawOf(reflect.ValueOf(object), 1)
		return raw, true, err
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		return string(b), true, err
	}
	return nil, false, nil
}

func isText(v reflect.Value) bool {
	if v.IsNil() {
		return false
	}
	_, ok := reflect.TypeAssert[encoding.TextMarshaler](v)
	return ok
}

func rawList(v reflect.Value, depth int) (any, error) {
	items := make([]any, v.Len())
	for i := range items {
		var err error
		if items[i], err = rawOf(v.Index(i), depth+1); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return items, nil
}

func rawMap(v reflect.Value, depth int) (any, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a %s is no value for a parameter", v.Type())
	}
	items := make(map[string]any, v.Len())
	for key, item := range v.Seq2() {
		raw, err := rawOf(item, depth+1)
		if err != nil {
			return nil, fmt.Errorf("[%s]: %w", shorten(key.String()), err)
		}
		items[key.String()] = raw
	}
	return items, nil
}
