package params

import (
	"net/url"
	"slices"
	"strings"
)

// What may follow a path in the name of a form field.
const (
	formJSON  = ":json"  // the value is JSON
	formLines = ":lines" // the value is a list, one item per line, as of a textarea
)

// FromForm reads a submitted web form. A field is called by its path; a list has several fields of one name, a
// map has key=value fields. "PATH:json" takes any value as JSON, "PATH:lines" a list with one item per line.
//
// What a form sends for an empty input depends on the parameter: an optional one is unset; one with a default must not be
// blank, unless it is a string or a list, which are then empty; everything else counts as absent. Of a bool the last value
// counts, so that a hidden "false" may stand before a checkbox.
func (s *Spec) FromForm(form url.Values) (Layer, error) {
	l := newLayer(OriginForm)
	var problems []Problem
	for _, key := range sortedKeys(form) {
		values := form[key]
		path, suffix := key, ""
		if i := strings.LastIndexByte(key, ':'); i >= 0 {
			path, suffix = key[:i], key[i:]
		}
		n, ok := s.lookup(path)
		switch {
		case !ok || suffix != "" && suffix != formJSON && suffix != formLines || suffix == formLines && n.kind != List:
			problems = append(problems, l.unknown(s.root, place{}, key))
		case len(values) == 0:
		case suffix == formJSON:
			problems = append(problems, l.formJSON(s.root, n, values)...)
		default:
			raw, given, more := n.fromFormValues(values, suffix)
			problems = append(problems, more...)
			if given && len(more) == 0 {
				problems = append(problems, l.put(n, n.formPlace(), raw)...)
			}
		}
	}
	return l, asError(problems)
}

func (n *node) formPlace() place { return place{n.path, n.path, OriginForm} }

// formJSON reads one field that is written as JSON.
func (l Layer) formJSON(root, n *node, values []string) []Problem {
	at := n.formPlace()
	if len(values) > 1 {
		return []Problem{n.formProblem("is given twice")}
	}
	v, problems := parseJSON([]byte(values[0]), OriginForm)
	if len(problems) > 0 {
		for i, p := range problems {
			problems[i].Field = at.path
			problems[i].Name = strings.TrimSuffix(at.name+"."+p.Field, ".")
		}
		return problems
	}
	return l.member(root, place{}, n.path, v)
}

func (n *node) formProblem(message string) Problem {
	return Problem{Field: n.path, Name: n.path, Message: message, Origin: OriginForm}
}

// fromFormValues turns the values of one field into a raw value; given is false when they count as absent.
func (n *node) fromFormValues(values []string, suffix string) (raw any, given bool, problems []Problem) {
	switch {
	case n.kind == Struct:
		return nil, false, []Problem{n.formProblem("has fields of its own; send these, or " + n.path + formJSON)}
	case suffix == formLines:
		raw, problems = n.fromLines(strings.Join(values, "\n"), n.formPlace())
		return raw, true, problems
	case n.kind == List || n.kind == Map:
		return n.fromFormItems(values)
	case n.kind != Bool && len(values) > 1:
		return nil, false, []Problem{n.formProblem("is given twice")}
	}
	value := values[len(values)-1]
	if value != "" && (n.kind == String || strings.TrimSpace(value) != "") {
		return text(value), true, nil
	}
	switch {
	case n.ptr && n.initial.IsValid() && !n.optional:
		return nil, true, nil
	case n.ptr, n.optional, n.tags.secret, n.absentIsZero():
		return nil, false, nil
	case n.kind == String:
		return text(""), true, nil
	}
	p := n.formProblem("must not be blank; it is " + n.article())
	p.Allowed = n.article()
	return nil, false, []Problem{p}
}

func (n *node) fromFormItems(values []string) (raw any, given bool, problems []Problem) {
	values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return strings.TrimSpace(s) == "" })
	if len(values) == 0 && (n.optional || n.tags.secret || n.absentIsZero()) {
		return nil, false, nil
	}
	items, object := []any{}, map[string]any{}
	for _, value := range values {
		if n.kind == List {
			item, more := n.elem.fromText(value, n.formPlace())
			items, problems = append(items, item), append(problems, more...)
			continue
		}
		one, more := n.fromText(value, n.formPlace())
		problems = append(problems, more...)
		members, _ := one.(map[string]any)
		for key, item := range members {
			if _, twice := object[key]; twice {
				problems = append(problems, n.formProblem("["+shorten(key)+"] is given twice"))
			}
			object[key] = item
		}
	}
	if n.kind == Map {
		return object, true, problems
	}
	return items, true, problems
}

// Form writes the parameters of v, a struct or a pointer to one, as the fields of a form from which [Spec.FromForm] makes
// the same values. Secrets are left out: a page never repeats them. It panics when v is of another type.
func (s *Spec) Form(v any) url.Values {
	form := url.Values{}
	f := formWriter{form, s.root}
	f.write(s.mustStruct(v))
	return form
}
