package params

import (
	"maps"
	"slices"
	"strings"
)

// flatten adds the members of an object to the layer: nested or dotted, in any spelling. It returns the members that
// the struct does not have. At is the place of the struct.
func (l Layer) flatten(n *node, at place, object map[string]any) []Problem {
	var problems []Problem
	for _, key := range sortedKeys(object) {
		problems = append(problems, l.member(n, at, key, object[key])...)
	}
	return problems
}

// member adds one member of an object, whose key may be a dotted path.
func (l Layer) member(n *node, at place, key string, raw any) []Problem {
	outer := n
	for segment := range strings.SplitSeq(key, ".") {
		kid, ok := n.names[segment]
		if n.kind != Struct || !ok {
			return []Problem{l.unknown(outer, at, key)}
		}
		n = kid
	}
	where := at.at(n.path, label(l.origin, n.path), l.origin)
	if n.kind != Struct {
		return l.put(n, where, raw)
	}
	object, isObject := raw.(map[string]any)
	switch {
	case isObject:
		if n.ptr {
			l.values[n.path] = entry{present{}, where.name}
		}
		return l.flatten(n, at, object)
	case raw == nil && n.ptr:
		l.values[n.path] = entry{nil, where.name}
		return nil
	}
	return []Problem{{
		Field: where.path, Name: where.name, Value: n.show(raw), Origin: l.origin,
		Message: n.show(raw) + " is not an object", Allowed: "an object",
	}}
}

// put adds a leaf; two spellings of one parameter in one object would leave the winner to chance.
func (l Layer) put(n *node, at place, raw any) []Problem {
	if _, twice := l.values[n.path]; twice {
		return []Problem{{Field: at.path, Name: at.name, Origin: l.origin, Message: "is given twice"}}
	}
	if s, ok := plainText(raw); ok && n.tags.secret && s == mask {
		return []Problem{{
			Field: at.path, Name: at.name, Value: mask, Origin: l.origin,
			Message: "is masked, so the secret itself is not known here; give it again",
		}}
	}
	l.values[n.path] = entry{raw, at.name}
	return nil
}

// unknown is the problem of a member that the struct n does not have.
func (l Layer) unknown(n *node, at place, key string) Problem {
	path := join(n.path, shorten(key))
	where := at.at(path, label(l.origin, path), l.origin)
	p := Problem{Field: where.path, Name: where.name, Origin: l.origin, Message: "unknown parameter"}
	if best := Nearest(key, n.paths()); best != "" {
		p.Suggestion = join(n.path, best)
		if l.origin == OriginFlag {
			p.Suggestion = "--" + p.Suggestion
		}
	}
	return p
}

// paths lists the paths of the fields below n, from n on.
func (n *node) paths() []string {
	var all []string
	for _, kid := range n.kids {
		path := strings.TrimPrefix(kid.path, n.path+".")
		all = append(all, path)
		if kid.kind == Struct {
			for _, sub := range kid.paths() {
				all = append(all, path+"."+sub)
			}
		}
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
