package params

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema returns the JSON Schema (2020-12) of the documents that [Spec.FromJSON] and [Spec.Fill] accept, with the
// parameters under their kebab-case names, nested. It accepts nothing less than they do, in that spelling. They
// refuse a little more, which no schema can say: bounds of durations and times that are written as text, dates that
// do not exist, decimals and durations too large for their type, what an author's own UnmarshalText refuses, JSON
// and filters within strings, items that are the same in two spellings, and the limits of this package.
func (s *Spec) Schema() *jsonschema.Schema {
	schema := s.root.schema()
	schema.Schema = "https://json-schema.org/draft/2020-12/schema"
	schema.Title = s.name
	return schema
}

// schema describes what decodes into n, without null.
func (n *node) schema() *jsonschema.Schema {
	switch n.kind {
	case Struct:
		return n.objectSchema()
	case List:
		return &jsonschema.Schema{
			Type: "array", Items: n.elem.schema(),
			MinItems: n.rules.minItems, MaxItems: n.rules.maxItems, UniqueItems: n.rules.unique,
		}
	case Map:
		return &jsonschema.Schema{
			Type: "object", AdditionalProperties: n.elem.schema(),
			MinProperties: n.rules.minItems, MaxProperties: n.rules.maxItems,
		}
	default:
		schema := n.scalarSchema()
		if n.tags.secret && slices.Contains(append(schema.Types, schema.Type), "string") {
			masked := any(mask)
			schema.Not = &jsonschema.Schema{Const: &masked}
		}
		return schema
	}
}

func (n *node) objectSchema() *jsonschema.Schema {
	schema := &jsonschema.Schema{
		Type: "object", Properties: map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for _, kid := range n.kids {
		sub := kid.schema()
		needed := kid.tags.required && !kid.initial.IsValid()
		if kid.kind == Struct && !kid.ptr {
			needed = len(sub.Required) > 0
		}
		if kid.ptr && !kid.tags.required {
			sub = nullable(sub)
		}
		if needed {
			schema.Required = append(schema.Required, kid.name)
		}
		sub.Description, sub.WriteOnly = kid.tags.help, kid.tags.secret
		sub.Default = kid.schemaDefault()
		schema.Properties[kid.name] = sub
		schema.PropertyOrder = append(schema.PropertyOrder, kid.name)
	}
	return schema
}

// nullable lets null pass too.
func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s.AllOf != nil || s.Enum != nil || s.Not != nil:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
	case s.Type != "":
		s.Types, s.Type = []string{s.Type, "null"}, ""
	default:
		s.Types = append(s.Types, "null")
	}
	return s
}

func (n *node) schemaDefault() json.RawMessage {
	var v reflect.Value
	switch {
	case n.tags.secret || n.kind == Struct || n.absentIsZero():
		return nil
	case n.initial.IsValid():
		v = n.deref(n.initial)
	case n.kind == Time:
		// A relative time stays relative.
		b, _ := json.Marshal(n.tags.deflt) // a string cannot fail
		return b
	default:
		var ok bool
		j := &job{now: time.Now()}
		if v, ok = j.value(n, place{}, n.fromTag(n.tags.deflt)); !ok {
			return nil
		}
	}
	plain, err := n.plain(v, forJSON)
	if err != nil {
		return nil
	}
	b, err := marshalJSON(plain)
	if err != nil {
		return nil
	}
	return b
}

func (n *node) scalarSchema() *jsonschema.Schema {
	switch n.kind {
	case Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case Int, Uint:
		return n.intSchema()
	case Float:
		return n.floatSchema()
	case Duration:
		return n.durationSchema()
	case Time:
		return &jsonschema.Schema{Type: "string", Format: "date-time", Pattern: timePattern}
	case ObjectID:
		return &jsonschema.Schema{Type: "string", Format: "objectid", Pattern: `^[0-9a-fA-F]{24}$`}
	case UUID:
		expr, _ := formatPattern("uuid")
		return &jsonschema.Schema{Type: "string", Format: "uuid", Pattern: `^$|` + expr}
	case Decimal:
		return &jsonschema.Schema{Types: []string{"string", "number"}, Format: "decimal", Pattern: decimalPattern}
	default:
		return n.stringSchema()
	}
}

const (
	durationWords = `([0-9]+(\.[0-9]+)?(ns|us|µs|μs|ms|s|m|h|d|w))+`
	timePattern   = `^(now|[-+]` + durationWords + `|[0-9]{4}-[0-9]{2}-[0-9]{2}` +
		`(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?)?)$`
	decimalPattern = `^[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([Ee][-+]?[0-9]+)?|[Nn][Aa][Nn]|[Ii][Nn][Ff]([Ii][Nn][Ii][Tt][Yy])?)$`
)

func (n *node) stringSchema() *jsonschema.Schema {
	r := n.rules
	schema := &jsonschema.Schema{Type: "string", MinLength: r.minLen, MaxLength: r.maxLen, Format: r.format}
	for _, word := range r.enum {
		schema.Enum = append(schema.Enum, word)
	}
	format, _ := formatPattern(r.format)
	switch schema.Pattern = r.patternText(); {
	case schema.Pattern == "":
		schema.Pattern = format
	case format != "":
		schema.AllOf = []*jsonschema.Schema{{Pattern: format}}
	}
	return schema
}

func (n *node) floatSchema() *jsonschema.Schema {
	schema := &jsonschema.Schema{Type: "number"}
	if n.typ.Kind() == reflect.Float32 {
		// From here on a number is rounded to infinity.
		limit := math.Ldexp(1, 128) - math.Ldexp(1, 103)
		schema.ExclusiveMinimum, schema.ExclusiveMaximum = new(-limit), &limit
	}
	if v, ok := n.bound(n.rules.min); ok {
		schema.Minimum = new(v.Float())
	}
	if v, ok := n.bound(n.rules.max); ok {
		schema.Maximum = new(v.Float())
	}
	return schema
}

// bound decodes a bound of the rules.
func (n *node) bound(s string) (reflect.Value, bool) {
	if s == "" {
		return reflect.Value{}, false
	}
	v, f := n.scalar(text(s), time.Time{})
	return v, f == nil
}

func (n *node) durationSchema() *jsonschema.Schema {
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	if v, ok := n.bound(n.rules.min); ok {
		least = v.Int()
	}
	if v, ok := n.bound(n.rules.max); ok {
		most = v.Int()
	}
	const ms = int64(time.Millisecond)
	low, high := least/ms, most/ms // toward zero, which is what an upper bound above zero and a lower one below it need
	if least > 0 && least%ms != 0 {
		low++
	}
	if most < 0 && most%ms != 0 {
		high--
	}
	return &jsonschema.Schema{
		Types: []string{"string", "integer"}, Format: "duration", Pattern: durationPattern(),
		Minimum: new(float64(low)), Maximum: new(float64(high)),
	}
}

// durationPattern also bounds the milliseconds that stand without a unit.
func durationPattern() string {
	ms := positive(big.NewInt(1), big.NewInt(math.MaxInt64/int64(time.Millisecond)))
	return `^[-+]?(` + durationWords + `|0*(0|` + strings.Join(ms, "|") + `))$`
}

// intSchema describes an integer, which may also be a string of digits within the same range.
func (n *node) intSchema() *jsonschema.Schema {
	schema := &jsonschema.Schema{Types: []string{"integer", "string"}}
	for _, word := range n.rules.enum {
		schema.Enum = append(schema.Enum, word)
		if i, ok := new(big.Int).SetString(word, 10); ok && i.IsInt64() {
			schema.Enum = append(schema.Enum, i.Int64())
		} else if ok && i.IsUint64() {
			schema.Enum = append(schema.Enum, i.Uint64())
		}
	}
	if schema.Enum != nil {
		return schema
	}
	low, high := intRange(n.typ)
	if v, ok := n.bound(n.rules.min); ok {
		low = bigInt(v)
	}
	if v, ok := n.bound(n.rules.max); ok {
		high = bigInt(v)
	}
	schema.Pattern = intPattern(low, high)
	// A float64 cannot hold every bound; one beyond it can serve where that is exact, as for 2^63-1.
	if f, exact := toFloat(low); exact {
		schema.Minimum = &f
	} else {
		f, _ = toFloat(new(big.Int).Sub(low, big.NewInt(1)))
		schema.ExclusiveMinimum = &f
	}
	if f, exact := toFloat(high); exact {
		schema.Maximum = &f
	} else {
		f, _ = toFloat(new(big.Int).Add(high, big.NewInt(1)))
		schema.ExclusiveMaximum = &f
	}
	return schema
}

func bigInt(v reflect.Value) *big.Int {
	if v.CanUint() {
		return new(big.Int).SetUint64(v.Uint())
	}
	return big.NewInt(v.Int())
}

func toFloat(i *big.Int) (float64, bool) {
	f, accuracy := new(big.Float).SetInt(i).Float64()
	return f, accuracy == big.Exact
}
