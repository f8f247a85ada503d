package params

import "reflect"

// Secrets returns the texts of v's secret parameters, so that a redactor can keep them out of logs. v is a struct or a
// pointer to one; Secrets panics when it is of another type.
func (s *Spec) Secrets(v any) []string {
	var secrets []string
	s.root.secrets(s.mustStruct(v), false, &secrets)
	return secrets
}

// secrets collects the strings below v; secret says that what holds v is one already.
func (n *node) secrets(v reflect.Value, secret bool, found *[]string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	secret = secret || n.tags.secret
	if n.kind == Struct {
		for _, kid := range n.kids {
			kid.secrets(v.FieldByIndex(kid.index), secret, found)
		}
		return
	}
	if !secret {
		return
	}
	switch {
	case v.Kind() == reflect.String:
		if v.Len() > 0 {
			*found = append(*found, v.String())
		}
	case n.kind == List:
		for i := range v.Len() {
			n.elem.secrets(v.Index(i), secret, found)
		}
	case n.kind == Map:
		for iter := v.MapRange(); iter.Next(); {
			n.elem.secrets(iter.Value(), secret, found)
		}
	default:
		if text, err := n.plain(v, forJSON); err == nil {
			if s, ok := text.(string); ok {
				*found = append(*found, s)
			}
		}
	}
}
