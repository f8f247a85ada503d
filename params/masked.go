package params

import (
	"github.com/rikki-go/rikki/internal/redact"
)

// Masked returns the parameters of v, a struct or a pointer to one, as plain values that a run history may keep and
// show: string, bool, int64, float64, []any and map[string]any, nested like the struct. Secrets are "***", and so are
// passwords within MongoDB URIs; times are absolute, in UTC. It panics when v is of another type.
func (s *Spec) Masked(v any) map[string]any {
	object, err := s.root.object(s.mustStruct(v), forStore)
	if err != nil {
		panic(err) // unreachable: what cannot be written is stored as a note
	}
	redactStrings(object)
	return object
}

// redactStrings masks passwords of URIs in the strings of a plain object.
func redactStrings(object map[string]any) {
	for key, v := range object {
		object[key] = redactPlain(v)
	}
}

func redactPlain(v any) any {
	switch x := v.(type) {
	case string:
		return redact.Text(x)
	case []any:
		for i := range x {
			x[i] = redactPlain(x[i])
		}
	case map[string]any:
		redactStrings(x)
	}
	return v
}
