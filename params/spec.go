package params

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Spec describes the parameters of one struct type. It is immutable and safe for concurrent use.
type Spec struct {
	name string
	typ  reflect.Type
	root *node
	now  func() time.Time
}

// Of reads the parameters of the struct that v points to. The values in it, where they are not zero, are the defaults
// that help, forms and schemas show. The error lists every field of an unsupported type and every tag that makes no
// sense.
func Of(v any) (*Spec, error) {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("params: want a pointer to a struct, got %T", v)
	}
	b := builder{typ: t.Elem(), open: map[reflect.Type]bool{}}
	root := &node{kind: Struct, typ: t.Elem()}
	b.structOf(root, "", "")
	b.checkEnv(root)
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	if pv := reflect.ValueOf(v); !pv.IsNil() {
		root.remember(pv.Elem())
	}
	return &Spec{name: Kebab(t.Elem().Name()), typ: t.Elem(), root: root, now: time.Now}, nil
}

// Name returns what problems call the owner of the parameters; at first the struct's name in kebab-case.
func (s *Spec) Name() string { return s.name }

// Named returns a copy of s under another name.
func (s *Spec) Named(name string) *Spec {
	c := *s
	c.name = name
	return &c
}

// Clock returns a copy of s that reads the time from now. It is what "now" and "-7d" count from.
func (s *Spec) Clock(now func() time.Time) *Spec {
	c := *s
	c.now = now
	return &c
}

// Clash lists the names that more than one of the specs declares. [ParseArgs] gives such a flag to the first of them
// only, so a program checks its scripts' parameters against its own flags when it starts.
func Clash(specs ...*Spec) []string {
	var clashes []string
	for i, s := range specs {
		for _, f := range s.Fields() {
			for _, earlier := range specs[:i] {
				if n, _, ok := earlier.flagNode(f.Path); ok && n != nil {
					clashes = append(clashes, f.Path)
					break
				}
			}
		}
	}
	return clashes
}

// lookup finds the field that a path in any spelling means.
func (s *Spec) lookup(path string) (*node, bool) {
	n := s.root
	for segment := range strings.SplitSeq(path, ".") {
		if n.kind != Struct {
			return nil, false
		}
		kid, ok := n.names[segment]
		if !ok {
			return nil, false
		}
		n = kid
	}
	return n, n != s.root
}

// flagNode finds the field that a flag means, and whether it is the --no- form of it.
func (s *Spec) flagNode(name string) (n *node, negated, ok bool) {
	if n, ok := s.lookup(name); ok {
		return n, false, true
	}
	for _, prefix := range []string{"no-", "no"} {
		rest, found := strings.CutPrefix(name, prefix)
		if !found || rest == "" {
			continue
		}
		if prefix == "no" { // camelCase: --noForce
			if rest[0] < 'A' || rest[0] > 'Z' {
				continue
			}
			rest = strings.ToLower(rest[:1]) + rest[1:]
		}
		if n, ok := s.lookup(rest); ok && (n.kind == Bool || n.ptr) {
			return n, true, true
		}
	}
	return nil, false, false
}

// leaves lists every field that is no struct, in the order of declaration.
func (s *Spec) leaves() []*node { return s.root.leaves() }

func (n *node) leaves() []*node {
	var all []*node
	for _, kid := range n.kids {
		if kid.kind == Struct {
			all = append(all, kid.leaves()...)
		} else {
			all = append(all, kid)
		}
	}
	return all
}
