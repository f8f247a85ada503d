package params

import "reflect"

// Secrets returns the texts of the secret parameters of v, a struct or a pointer to one, so that a redactor can keep
// them out of logs. It panics when v is of another type.
func (s *Spec) Secrets(v any) []string {
	var secrets []string
	s.root.secrets(s.mustStruct(v), false, &secrets)
	return secrets
}

// secrets collects the texts below v; secret says that what holds v is one already. A bool gives nothing away, and no log
// could do without the word true.
func (n *node) secrets(v reflect.Value, secret bool, found *[]string) {
	if n.ptr {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	secret = secret || n.tags.secret
	switch {
	case n.kind == Struct:
		for _, kid := range n.kids {
			kid.secrets(v.FieldByIndex(kid.index), secret, found)
		}
	case n.kind == List:
		for i := range v.Len() {
			n.elem.secrets(v.Index(i), secret, found)
		}
	case n.kind == Map:
		for _, item := range v.Seq2() {
			n.elem.secrets(item, secret, found)
		}
	case secret && !v.IsZero():
		if s, err := n.write(v); err == nil && s != "" && n.kind != Bool {
			*found = append(*found, s)
		}
	}
}
