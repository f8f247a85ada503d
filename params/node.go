package params

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// node is one place in the tree of a struct type: a field, or the item of a list or map.
type node struct {
	kind Kind
	typ  reflect.Type // never the pointer of an optional field
	ptr  bool         // the field is a *T
	// optional is true within a struct that may be absent.
	optional bool
	elem     *node // of List and Map

	kids  []*node          // of Struct
	names map[string]*node // of Struct: the fields under each spelling

	// Of a field only.
	index  []int // within the struct that names it, through embedded ones
	name   string
	goName string
	path   string

	tags  tags
	rules rules
	// initial is the prototype's value; it is invalid where that is zero.
	initial reflect.Value
}

// builder collects what is wrong with a struct type while it makes the tree.
type builder struct {
	typ  reflect.Type
	open map[reflect.Type]bool // the structs that we are inside of
	errs []error
}

func (b *builder) fail(path, format string, args ...any) {
	where := b.typ.String()
	if path != "" {
		where += "." + path
	}
	b.errs = append(b.errs, fmt.Errorf("params: %s: %w", where, fmt.Errorf(format, args...)))
}

// structOf fills n with the fields of its struct type. goPath and path are empty for the outermost one.
func (b *builder) structOf(n *node, goPath, path string) {
	if b.open[n.typ] {
		b.fail(goPath, "the type %s contains itself; leave a field out with params:\"-\"", n.typ)
		return
	}
	b.open[n.typ] = true
	defer delete(b.open, n.typ)
	n.names = map[string]*node{}
	b.fields(n, n.typ, nil, goPath, path)
	b.checkNames(n, goPath)
}

// fields adds the fields of t to n; index leads from n's type to t through embedded structs.
func (b *builder) fields(n *node, t reflect.Type, index []int, goPath, path string) {
	for f := range t.Fields() {
		tag := f.Tag.Get("params")
		if tag == "-" {
			continue
		}
		at := append(append([]int(nil), index...), f.Index...)
		if inline(f, tag) {
			b.fields(n, f.Type, at, goPath, path)
			continue
		}
		if !f.IsExported() {
			continue
		}
		b.field(n, f, at, goPath, path)
	}
}

// inline tells whether the fields of a struct stand in place of the field itself.
func inline(f reflect.StructField, tag string) bool {
	return (f.Anonymous && tag == "" || tag == ",inline") && f.Type.Kind() == reflect.Struct && scalarKind(f.Type) == Invalid
}

// field adds one field to n.
func (b *builder) field(n *node, f reflect.StructField, at []int, goPath, path string) {
	kid := &node{optional: n.ptr || n.optional, index: at, name: f.Tag.Get("params"), goName: f.Name}
	if kid.name == "" {
		kid.name = Kebab(f.Name)
	}
	kid.path = join(path, kid.name)
	goPath = join(goPath, f.Name)
	if !validName(kid.name) {
		b.fail(goPath, "the name %q must be lower-case letters, digits and dashes and start with a letter", kid.name)
		return
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		kid.ptr, t = true, t.Elem()
	}
	if !b.typeOf(kid, t, goPath) {
		return
	}
	b.readTags(kid, f.Tag, goPath)
	for _, spelling := range spellings(kid.name, kid.goName) {
		if other, ok := n.names[spelling]; ok && other != kid {
			b.fail(goPath, "may be written %q, but so may %s; name one of them with params:\"…\"", spelling, other.goName)
			return
		}
		n.names[spelling] = kid
	}
	n.kids = append(n.kids, kid)
}

// typeOf sets what n is from its Go type, and reports a type that no parameter can have.
func (b *builder) typeOf(n *node, t reflect.Type, goPath string) bool {
	n.typ, n.kind = t, scalarKind(t)
	switch {
	case n.kind == Text && !writesText(t):
		b.fail(goPath, "%s has UnmarshalText but neither MarshalText nor String, so its value could not be shown", t)
		return false
	case n.kind != Invalid:
		return b.values(n, goPath)
	case n.ptr && t.Kind() != reflect.Struct:
		return b.unsupported(t, goPath)
	}
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return b.unsupported(t, goPath)
		}
		n.kind = List
		return b.elemOf(n, goPath+"[]")
	case reflect.Map:
		if t.Key().Kind() != reflect.String || scalarKind(t.Key()) != String || t.Key() == secretType {
			return b.unsupported(t, goPath)
		}
		n.kind = Map
		return b.elemOf(n, goPath+"[]")
	case reflect.Struct:
		n.kind = Struct
		before := len(b.errs)
		b.structOf(n, goPath, n.path)
		if len(n.kids) == 0 && len(b.errs) == before {
			return b.unsupported(t, goPath)
		}
		return true
	default:
		return b.unsupported(t, goPath)
	}
}

func (b *builder) elemOf(n *node, goPath string) bool {
	n.elem = &node{name: n.name}
	return b.typeOf(n.elem, n.typ.Elem(), goPath)
}

func (b *builder) unsupported(t reflect.Type, goPath string) bool {
	b.fail(goPath, "no parameter can have the type %s; leave the field out with params:\"-\"", t)
	return false
}

// values reads the enumeration of a type with Values().
func (b *builder) values(n *node, goPath string) bool {
	v, ok := reflect.TypeAssert[interface{ Values() []string }](reflect.New(n.typ))
	if !ok {
		return true
	}
	if n.kind != String && n.kind != Text {
		b.fail(goPath, "%s has Values() but is no string; give it UnmarshalText and MarshalText", n.typ)
		return false
	}
	values := v.Values()
	if len(values) == 0 {
		b.fail(goPath, "Values() of %s is empty", n.typ)
		return false
	}
	n.setEnum(b, values, goPath)
	return true
}

// checkNames reports a flag that two fields of one struct could both mean.
func (b *builder) checkNames(n *node, goPath string) {
	for _, kid := range n.kids {
		if yes, ok := n.names[trimNo(kid.name)]; ok && (yes.kind == Bool || yes.ptr) {
			b.fail(goPath, "--%s could mean %s or the opposite of %s", kid.name, kid.goName, yes.goName)
		}
	}
}

// checkEnv reports fields whose paths differ and whose automatic environment variables do not.
func (b *builder) checkEnv(root *node) {
	first := map[string]string{}
	for _, n := range root.leaves() {
		name := envName(n.path)
		if other, ok := first[name]; ok {
			b.fail("", "%s and %s share the environment variable …%s; name one of them with params:\"…\"", other, n.path, name)
		}
		first[name] = n.path
	}
}

func trimNo(name string) string {
	if len(name) > 3 && name[:3] == "no-" {
		return name[3:]
	}
	return ""
}

func validName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r > 0x7f
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	objectIDType = reflect.TypeFor[bson.ObjectID]()
	decimalType  = reflect.TypeFor[bson.Decimal128]()
	binaryType   = reflect.TypeFor[bson.Binary]()
	secretType   = reflect.TypeFor[Secret]()
	decoderType  = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// scalarKind returns the kind of a type that one word can hold, or Invalid.
func scalarKind(t reflect.Type) Kind {
	switch t {
	case durationType:
		return Duration
	case timeType:
		return Time
	case objectIDType:
		return ObjectID
	case decimalType:
		return Decimal
	case binaryType:
		return UUID
	case secretType:
		return String
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(decoderType) {
		return Text
	}
	switch t.Kind() {
	case reflect.String:
		return String
	case reflect.Bool:
		return Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Int
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Uint
	case reflect.Float32, reflect.Float64:
		return Float
	default:
		return Invalid
	}
}

// writesText tells whether a text type can be written back.
func writesText(t reflect.Type) bool {
	v := reflect.New(t).Interface()
	_, marshals := v.(encoding.TextMarshaler)
	_, prints := v.(fmt.Stringer)
	return marshals || prints
}

// marshalText writes a value of kind Text, which need not be addressable.
func marshalText(v reflect.Value) (string, error) {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	switch m := p.Interface().(type) {
	case encoding.TextMarshaler:
		b, err := m.MarshalText()
		return string(b), err
	case fmt.Stringer:
		return m.String(), nil
	}
	return "", errors.New("params: the type cannot be written as text")
}
