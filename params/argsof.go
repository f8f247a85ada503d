package params

import (
	"reflect"
	"strings"
	"time"
)

// Args writes the parameters of v, a struct or a pointer to one, as the flags that [ParseArgs] and [Spec.Fill] make
// the same values of. What is at its default is left out, and so are secrets, which no command line may carry. It panics
// when v is of another type.
func (s *Spec) Args(v any) []string {
	return s.root.args(s.mustStruct(v), nil)
}

func (n *node) args(v reflect.Value, args []string) []string {
	for _, kid := range n.kids {
		f := v.FieldByIndex(kid.index)
		flag := "--" + kid.path
		switch {
		case kid.tags.secret:
		case kid.ptr && f.IsNil():
			if kid.initial.IsValid() && kid.kind != Bool {
				args = append(args, "--no-"+kid.path)
			}
		case kid.kind == Struct:
			before := len(args)
			args = kid.args(kid.deref(f), args)
			if kid.ptr && len(args) == before {
				args = append(args, flag+"={}")
			}
		case kid.omit(f), kid.atDefault(f):
		case kid.kind == Bool && kid.deref(f).Bool():
			args = append(args, flag)
		case kid.kind == Bool:
			args = append(args, "--no-"+kid.path)
		case kid.kind == Map:
			args = append(args, kid.mapArgs(flag, f)...)
		default:
			args = append(args, flag+"="+kid.flagText(kid.deref(f)))
		}
	}
	return args
}

// atDefault tells whether v is what [Spec.Fill] makes of a struct without input, be it a copy of the prototype or new.
func (n *node) atDefault(v reflect.Value) bool {
	if n.ptr || n.absentIsZero() {
		return false
	}
	own := n.fingerprint(v)
	if n.initial.IsValid() && n.fingerprint(n.initial) != own {
		return false
	}
	if !n.tags.hasDefault {
		// The prototype has a value that a new struct would not have.
		return false
	}
	j := &job{now: time.Now()}
	deflt, ok := j.value(n, place{}, n.fromTag(n.tags.deflt))
	return ok && n.fingerprint(deflt) == own
}

// mapArgs writes one flag per key, or one of JSON where a key cannot be written so.
func (n *node) mapArgs(flag string, v reflect.Value) []string {
	byKey := map[string]string{}
	for key, item := range v.Seq2() {
		k := key.String()
		if !n.elem.kind.scalar() || strings.TrimSpace(k) == "" || strings.Contains(k, "=") || strings.HasPrefix(strings.TrimSpace(k), "{") {
			return []string{flag + "=" + n.flagText(v)}
		}
		s, err := n.elem.write(item)
		if err != nil {
			return nil
		}
		byKey[k] = s
	}
	if len(byKey) == 0 {
		return []string{flag + "={}"}
	}
	var args []string
	for _, k := range sortedKeys(byKey) {
		args = append(args, flag+"="+k+"="+byKey[k])
	}
	return args
}
