package params

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A mode says what becomes of secrets and of numbers when values are written.
type mode int

const (
	forJSON  mode = iota // secrets left out, integers that JavaScript cannot hold as strings
	forStore             // secrets masked, numbers as Go has them
	forHash              // everything, to compare
)

// maxSafe is the greatest integer that JavaScript holds exactly.
const maxSafe = 1<<53 - 1

// JSON writes the parameters of v, a struct or a pointer to one, as the object from which [Spec.FromJSON] makes the same
// values. Secrets are left out, and so is what is zero when nobody gives it.
func (s *Spec) JSON(v any) ([]byte, error) {
	sv, err := s.structValue(v)
	if err != nil {
		return nil, err
	}
	object, err := s.root.object(sv, forJSON)
	if err != nil {
		return nil, err
	}
	return marshalJSON(object)
}

// structValue returns the struct of this spec that v is or points to.
func (s *Spec) structValue(v any) (reflect.Value, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if !rv.IsValid() || rv.Type() != s.typ {
		return reflect.Value{}, fmt.Errorf("params: want a %s or a pointer to one, got %T", s.typ, v)
	}
	return rv, nil
}

// mustStruct is for the encoders that have no error to return: a value of another type is a mistake in the program.
func (s *Spec) mustStruct(v any) reflect.Value {
	rv, err := s.structValue(v)
	if err != nil {
		panic(err)
	}
	return rv
}

// object writes a struct. What leaves no trace is left out: see [node.omit].
func (n *node) object(v reflect.Value, m mode) (map[string]any, error) {
	object := map[string]any{}
	for _, kid := range n.kids {
		f := v.FieldByIndex(kid.index)
		if kid.tags.secret && m == forJSON || kid.omit(f) && (m != forStore || !kid.harmless(f)) {
			continue
		}
		if kid.ptr && f.IsNil() {
			if kid.initial.IsValid() {
				object[kid.name] = nil
			}
			continue
		}
		plain, err := kid.plain(kid.deref(f), m)
		if err != nil {
			return nil, fmt.Errorf("params: %s: %w", kid.path, err)
		}
		if sub, ok := plain.(map[string]any); ok && kid.kind == Struct && !kid.ptr && len(sub) == 0 {
			continue
		}
		object[kid.name] = plain
	}
	return object, nil
}

// omit tells whether a field comes out the same when it is not written at all.
func (n *node) omit(v reflect.Value) bool {
	return n.kind != Struct && n.isZero(v) && n.absentIsZero() && !n.tags.required
}

// absentIsZero tells whether a field that nobody gives is zero.
func (n *node) absentIsZero() bool { return !n.tags.hasDefault && !n.initial.IsValid() }

// harmless tells whether a zero that could be left out says something to a reader and may be read back.
func (n *node) harmless(v reflect.Value) bool {
	switch n.kind {
	case Bool, Int, Uint, Float, Duration, String:
		return !n.ptr && !n.tags.secret && n.check(v, time.Time{}) == nil
	default:
		return false
	}
}

// plain writes a value with the types that JSON and BSON share.
func (n *node) plain(v reflect.Value, m mode) (any, error) {
	if n.tags.secret && m == forStore {
		return mask, nil
	}
	switch n.kind {
	case Struct:
		return n.object(v, m)
	case List:
		items := make([]any, v.Len())
		for i := range items {
			var err error
			if items[i], err = n.elem.plain(v.Index(i), m); err != nil {
				return nil, err
			}
		}
		return items, nil
	case Map:
		items := make(map[string]any, v.Len())
		for key, item := range v.Seq2() {
			var err error
			if items[key.String()], err = n.elem.plain(item, m); err != nil {
				return nil, err
			}
		}
		return items, nil
	default:
		plain, err := n.plainScalar(v, m)
		if err != nil && m == forStore {
			// An author's type fails to write itself; the history shows that rather than losing the run.
			return "(" + err.Error() + ")", nil
		}
		return plain, err
	}
}

func (n *node) plainScalar(v reflect.Value, m mode) (any, error) {
	switch n.kind {
	case Bool:
		return v.Bool(), nil
	case Int:
		if i := v.Int(); m == forStore {
			return i, nil
		} else if i > maxSafe || i < -maxSafe {
			return strconv.FormatInt(i, 10), nil
		}
	case Uint:
		if u := v.Uint(); m == forStore && u <= math.MaxInt64 {
			return int64(u), nil
		} else if u > maxSafe {
			return strconv.FormatUint(u, 10), nil
		}
	case Float:
		if f := v.Float(); m == forStore {
			return f, nil
		} else if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("%v is no JSON number", f)
		}
	default:
		return n.write(v)
	}
	s, err := n.write(v)
	return json.Number(s), err
}

// write returns the text of a scalar, in the one way that decodes to the same value.
func (n *node) write(v reflect.Value) (string, error) {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String(), nil
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano), nil
	case bson.ObjectID:
		return x.Hex(), nil
	case bson.Decimal128:
		return x.String(), nil
	case bson.Binary:
		return writeUUID(x)
	}
	switch n.kind {
	case String:
		return v.String(), nil
	case Bool:
		return strconv.FormatBool(v.Bool()), nil
	case Int:
		return strconv.FormatInt(v.Int(), 10), nil
	case Uint:
		return strconv.FormatUint(v.Uint(), 10), nil
	case Float:
		return strconv.FormatFloat(v.Float(), 'g', -1, n.typ.Bits()), nil
	default:
		return marshalText(v)
	}
}

// fingerprint is the same for two values exactly when they are the same.
func (n *node) fingerprint(v reflect.Value) string {
	plain, err := n.plain(v, forHash)
	if err != nil {
		return "error: " + err.Error()
	}
	b, err := marshalJSON(plain)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// marshalJSON writes JSON for people: <, > and & stay what they are.
func marshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// remember keeps the prototype's values, which are the defaults that people are shown.
func (n *node) remember(v reflect.Value) {
	for _, kid := range n.kids {
		f := v.FieldByIndex(kid.index)
		switch {
		case kid.kind != Struct:
			if !kid.isZero(f) {
				kid.initial = clone(f)
			}
		case !kid.ptr:
			kid.remember(f)
		case !f.IsNil():
			kid.initial = reflect.ValueOf(true)
			kid.remember(f.Elem())
		}
	}
}

// flagText writes a value as the text of a flag: the short form where nothing is lost by it, else JSON.
func (n *node) flagText(v reflect.Value) string {
	if n.kind.scalar() {
		s, err := n.write(v)
		if err != nil {
			return ""
		}
		return s
	}
	if n.kind == List && n.elem.kind.scalar() {
		if s, ok := n.commaList(v); ok {
			return s
		}
	}
	plain, err := n.plain(v, forJSON)
	if err != nil {
		return ""
	}
	b, err := marshalJSON(plain)
	if err != nil {
		return ""
	}
	return string(b)
}

// commaList joins the items with commas, if they can be told apart again.
func (n *node) commaList(v reflect.Value) (string, bool) {
	words := make([]string, v.Len())
	for i := range words {
		s, err := n.elem.write(v.Index(i))
		if err != nil || s == "" || s != strings.TrimSpace(s) || strings.Contains(s, ",") {
			return "", false
		}
		words[i] = s
	}
	s := strings.Join(words, ",")
	return s, s != "" && s != "-" && s[0] != '[' && s[0] != '@'
}
