package params

import (
	"net/url"
	"reflect"
	"strings"
)

// formWriter writes the fields of one struct into a form.
type formWriter struct {
	form url.Values
	node *node
}

func (w formWriter) write(v reflect.Value) {
	for _, kid := range w.node.kids {
		f := v.FieldByIndex(kid.index)
		sub := formWriter{w.form, kid}
		switch {
		case kid.tags.secret:
		case kid.kind == Struct && !kid.ptr:
			sub.write(f)
		case kid.kind == Struct && !f.IsNil():
			// The mark says that the struct is there, should all of its fields be blank.
			w.form.Set(kid.path+formJSON, "{}")
			sub.write(f.Elem())
		case kid.kind == Struct && kid.initial.IsValid():
			w.form.Set(kid.path+formJSON, "null")
		case kid.kind == Struct:
		case kid.ptr && f.IsNil(), kid.omit(f):
			w.form.Set(kid.path, "")
			if kid.ptr && kid.optional && kid.initial.IsValid() {
				w.form.Set(kid.path+formJSON, "null")
				w.form.Del(kid.path)
			}
		default:
			sub.leaf(kid.deref(f))
		}
	}
}

// leaf writes a value as plain fields where a form can carry it, else as JSON.
func (w formWriter) leaf(v reflect.Value) {
	words, ok := w.words(v)
	if ok {
		w.form[w.node.path] = words
		return
	}
	plain, err := w.node.plain(v, forJSON)
	if err != nil {
		return
	}
	if b, err := marshalJSON(plain); err == nil {
		w.form.Set(w.node.path+formJSON, string(b))
	}
}

func (w formWriter) words(v reflect.Value) ([]string, bool) {
	n := w.node
	switch {
	case n.kind.scalar():
		s, err := n.write(v)
		blank := n.kind == String && s == "" || n.kind != String && strings.TrimSpace(s) == ""
		return []string{s}, err == nil && !blank
	case v.Len() == 0, !n.elem.kind.scalar():
		return nil, false
	case n.kind == List:
		words := make([]string, v.Len())
		for i := range words {
			s, err := n.elem.write(v.Index(i))
			if err != nil || strings.TrimSpace(s) == "" {
				return nil, false
			}
			words[i] = s
		}
		return words, true
	}
	byKey := map[string]string{}
	for key, item := range v.Seq2() {
		k := key.String()
		s, err := n.elem.write(item)
		if err != nil || strings.TrimSpace(k) == "" || strings.Contains(k, "=") || strings.HasPrefix(strings.TrimSpace(k), "{") {
			return nil, false
		}
		byKey[k] = s
	}
	var words []string
	for _, k := range sortedKeys(byKey) {
		words = append(words, k+"="+byKey[k])
	}
	return words, true
}
