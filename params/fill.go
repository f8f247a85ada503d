package params

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Checker is implemented by structs whose parameters have rules that no tag can say: two that contradict each other, a
// text in a language of its own. [Spec.Fill] calls it when each parameter is right by itself. Problems of an [*Error]
// that have a Field and no Name get the name that the user of the input knows.
type Checker interface{ CheckParams() error }

// Fill decodes the layers into the struct that dst points to: for each parameter the first layer that has it wins,
// then the value in dst, then the default tag. It validates all of them, and its error is an [*Error] with everything
// that is wrong; dst is then filled as far as it goes. What dst shares with other structs is replaced, not written to.
// If nothing is wrong and dst is a [Checker], that has the last word.
func (s *Spec) Fill(dst any, layers ...Layer) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem() != s.typ {
		return fmt.Errorf("params: want a *%s to fill, got %T", s.typ, dst)
	}
	j := &job{now: s.now(), surface: OriginFlag}
	for _, l := range layers {
		if l.origin == OriginForm || l.origin == OriginAPI {
			j.surface = l.origin
		}
	}
	j.fill(s.root, place{}, v.Elem(), layers)
	if checker, ok := dst.(Checker); ok && len(j.problems) == 0 {
		j.checked(checker.CheckParams(), layers)
	}
	return asError(j.problems)
}

// checked takes over what a [Checker] says.
func (j *job) checked(err error, layers []Layer) {
	if err == nil {
		return
	}
	invalid, ok := errors.AsType[*Error](err)
	if !ok {
		j.problems = append(j.problems, Problem{Message: err.Error()})
		return
	}
	for _, p := range invalid.Problems {
		if p.Name == "" && p.Field != "" {
			p.Name = label(j.surface, p.Field)
			for _, l := range layers {
				if e, ok := l.values[p.Field]; ok {
					p.Name, p.Origin = e.name, l.origin
					break
				}
			}
		}
		j.problems = append(j.problems, p)
	}
}

// Origins tells where [Spec.Fill] takes each parameter from.
func (s *Spec) Origins(layers ...Layer) map[string]Origin {
	origins := map[string]Origin{}
	for _, n := range s.leaves() {
		origins[n.path] = OriginDefault
		for _, l := range layers {
			if _, ok := l.values[n.path]; ok {
				origins[n.path] = l.origin
				break
			}
		}
	}
	return origins
}

// job is one filling: the moment that relative times count from, and the problems met so far.
type job struct {
	now      time.Time
	surface  Origin // whose words to use for a value that nobody gave
	problems []Problem
}

// place is where a value belongs and what its user calls it.
type place struct {
	path, name string
	origin     Origin
}

// item returns the place of a list item or map value.
func (p place) item(key string) place {
	return place{p.path + "[" + key + "]", p.name + "[" + key + "]", p.origin}
}

func (j *job) report(n *node, at place, raw any, f *flaw) {
	p := Problem{
		Field: at.path, Name: at.name, Message: f.message,
		Allowed: f.allowed, Suggestion: f.suggestion, Origin: at.origin,
	}
	if s, ok := plainText(raw); ok && !n.tags.secret {
		p.Value = safe(s)
	} else if raw != nil {
		p.Value = n.show(raw)
	}
	j.problems = append(j.problems, p)
}

// fill decodes layers into a struct. The layers' paths are those of n's fields; at is the place of the struct, which
// is empty but for an item of a list or map.
func (j *job) fill(n *node, at place, dst reflect.Value, layers []Layer) {
	for _, kid := range n.kids {
		v := dst.FieldByIndex(kid.index)
		switch {
		case kid.kind != Struct:
			j.leaf(kid, at, v, layers)
		case kid.ptr:
			j.optional(kid, at, v, layers)
		default:
			j.fill(kid, at, v, layers)
		}
	}
}

// optional fills a pointer to a struct: it is there when a layer says anything about it.
func (j *job) optional(n *node, at place, v reflect.Value, layers []Layer) {
	given := false
	for i, l := range layers {
		if e, ok := l.values[n.path]; ok && e.raw == nil {
			layers = layers[:i]
			v.SetZero()
			break
		}
		given = given || l.Has(n.path)
	}
	if !given && v.IsNil() {
		return
	}
	fresh := reflect.New(n.typ)
	if !v.IsNil() {
		fresh.Elem().Set(v.Elem())
	}
	j.fill(n, at, fresh.Elem(), layers)
	v.Set(fresh)
}

// leaf sets one field from the first layer that has it, or keeps what is there, or takes the default.
func (j *job) leaf(n *node, at place, v reflect.Value, layers []Layer) {
	for _, l := range layers {
		e, ok := l.values[n.path]
		if !ok {
			continue
		}
		where := at.at(n.path, e.name, l.origin)
		if e.raw == nil && n.ptr && !n.tags.required {
			v.SetZero()
			return
		}
		if decoded, ok := j.value(n, where, e.raw); ok {
			set(n, v, decoded)
		}
		return
	}
	missing := at.at(n.path, label(j.surface, n.path), "")
	switch {
	case !n.isZero(v):
		v.Set(clone(v))
		j.check(n, at.at(n.path, label(OriginDefault, n.path), OriginDefault), n.deref(v))
	case n.tags.hasDefault:
		where := at.at(n.path, label(OriginDefault, n.path), OriginDefault)
		if decoded, ok := j.value(n, where, n.fromTag(n.tags.deflt)); ok {
			set(n, v, decoded)
		}
	case n.tags.required && n.tags.secret && j.surface == OriginFlag:
		j.report(n, missing, nil, flawf("is required; %s", secretWays(n)))
	case n.tags.required:
		j.report(n, missing, nil, flawf("is required"))
	}
}

// at returns the place of a field below p. Inside an item, the item's name goes before the field's.
func (p place) at(path, name string, o Origin) place {
	if p.path == "" {
		return place{path, name, o}
	}
	return place{p.path + "." + path, p.name + "." + path, p.origin}
}

// value decodes any raw value and checks the rules.
func (j *job) value(n *node, at place, raw any) (reflect.Value, bool) {
	before := len(j.problems)
	v := reflect.New(n.typ).Elem()
	switch x := raw.(type) {
	case nil:
		j.report(n, at, raw, flawf("null is no value here; leave it out"))
	case flaw:
		j.report(n, at, nil, &x)
	case []any:
		if n.kind != List {
			j.report(n, at, raw, n.wrong(raw, n.article()))
			break
		}
		j.list(n, at, v, x)
	case map[string]any:
		switch n.kind {
		case Map:
			j.mapping(n, at, v, x)
		case Struct:
			l := newLayer(at.origin)
			j.problems = append(j.problems, l.flatten(n, at, x)...)
			j.fill(n, at, v, []Layer{l})
		default:
			j.report(n, at, raw, n.wrong(raw, n.article()))
		}
	default:
		if !n.kind.scalar() {
			j.report(n, at, raw, n.wrong(raw, n.article()))
			break
		}
		decoded, f := n.scalar(raw, j.now)
		if f == nil {
			f = n.check(decoded, j.now)
		}
		if f != nil {
			j.report(n, at, raw, f)
			break
		}
		v = decoded
	}
	return v, len(j.problems) == before
}

func (j *job) list(n *node, at place, v reflect.Value, items []any) {
	s := reflect.MakeSlice(n.typ, 0, len(items))
	for i, raw := range items {
		if item, ok := j.value(n.elem, at.item(strconv.Itoa(i)), raw); ok {
			s = reflect.Append(s, item)
		}
	}
	if s.Len() == len(items) {
		j.whole(n, at, s)
	}
	v.Set(s)
}

func (j *job) mapping(n *node, at place, v reflect.Value, items map[string]any) {
	m := reflect.MakeMapWithSize(n.typ, len(items))
	for _, key := range sortedKeys(items) {
		where := at.item(shorten(key))
		if f := clean(key); f != nil {
			j.report(n, where, nil, f)
			continue
		}
		if item, ok := j.value(n.elem, where, items[key]); ok {
			m.SetMapIndex(reflect.ValueOf(key).Convert(n.typ.Key()), item)
		}
	}
	if m.Len() == len(items) {
		j.whole(n, at, m)
	}
	v.Set(m)
}

// whole checks what only a complete list or map can break.
func (j *job) whole(n *node, at place, v reflect.Value) {
	if f := n.checkSize(v.Len()); f != nil {
		j.report(n, at, nil, f)
	}
	if !n.rules.unique {
		return
	}
	seen := map[string]int{}
	for i := range v.Len() {
		key := n.elem.fingerprint(v.Index(i))
		if first, ok := seen[key]; ok {
			j.report(n, at, nil, flawf("items %d and %d are the same", first+1, i+1))
			return
		}
		seen[key] = i
	}
}

// check holds a value that was not decoded, the prototype's, against the rules.
func (j *job) check(n *node, at place, v reflect.Value) {
	switch n.kind {
	case List:
		for i := range v.Len() {
			j.check(n.elem, at.item(strconv.Itoa(i)), v.Index(i))
		}
		j.whole(n, at, v)
	case Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			j.check(n.elem, at.item(key.String()), v.MapIndex(key))
		}
		j.whole(n, at, v)
	case Struct:
		for _, kid := range n.kids {
			if f := v.FieldByIndex(kid.index); !kid.isZero(f) {
				j.check(kid, at.at(kid.path, kid.path, at.origin), kid.deref(f))
			}
		}
	default:
		if f := n.check(v, j.now); f != nil {
			j.report(n, at, nil, f)
		}
	}
}

// isZero tells whether a field has nothing that could be called a value.
func (n *node) isZero(v reflect.Value) bool {
	if n.ptr {
		return v.IsNil()
	}
	switch n.kind {
	case List, Map:
		return v.Len() == 0
	case Time:
		t, _ := reflect.TypeAssert[time.Time](v)
		return t.IsZero()
	case UUID:
		b, _ := reflect.TypeAssert[bson.Binary](v)
		return b.IsZero()
	default:
		return v.IsZero()
	}
}

func (n *node) deref(v reflect.Value) reflect.Value {
	if n.ptr {
		return v.Elem()
	}
	return v
}

// set stores a decoded value in its field.
func set(n *node, field, v reflect.Value) {
	if n.ptr {
		p := reflect.New(n.typ)
		p.Elem().Set(v)
		v = p
	}
	field.Set(v)
}

// clone copies a value so that it shares no list, map or pointer with the original.
func clone(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || scalarKind(v.Type().Elem()) == Text {
			return v
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(clone(v.Elem()))
		return p
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		s := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			s.Index(i).Set(clone(v.Index(i)))
		}
		return s
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		m := reflect.MakeMapWithSize(v.Type(), v.Len())
		for key, item := range v.Seq2() {
			m.SetMapIndex(key, clone(item))
		}
		return m
	default:
		return v
	}
}
