package params

import "strings"

// Origin says which input a value came from.
type Origin string

// The origins.
const (
	OriginFlag    Origin = "flag"
	OriginEnv     Origin = "env"
	OriginFile    Origin = "file"
	OriginDefault Origin = "default"
	OriginForm    Origin = "form"
	OriginAPI     Origin = "api"
)

// Layer is what one input says about the parameters of one [Spec]: raw values by path, not yet decoded. The zero
// Layer says nothing.
type Layer struct {
	origin Origin
	values map[string]entry
}

// entry is a raw value: text, or what JSON knows (nil, bool, json.Number, string, []any, map[string]any).
type entry struct {
	raw  any
	name string // as the user knows it, for problems
}

// text is a raw value as a person writes it, where JSON's own strings follow stricter rules.
type text string

// present is the raw value of an optional struct that is there, whatever its fields are.
type present struct{}

// Text returns what the layer has for the path as it was written, if it is text. A time such as "-7d" is not decoded yet.
func (l Layer) Text(path string) (string, bool) {
	switch raw := l.values[path].raw.(type) {
	case text:
		return string(raw), true
	case string:
		return raw, true
	}
	return "", false
}

// Has tells whether the layer has a value for the path or, where that is a struct, for something below it.
func (l Layer) Has(path string) bool {
	if _, ok := l.values[path]; ok {
		return true
	}
	return l.below(path)
}

// Origin returns the input that the layer was read from.
func (l Layer) Origin() Origin { return l.origin }

// Len returns how many values the layer has.
func (l Layer) Len() int { return len(l.values) }

func (l Layer) below(path string) bool {
	for p := range l.values {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

func newLayer(o Origin) Layer { return Layer{origin: o, values: map[string]entry{}} }

// label names a path as the users of an origin know it.
func label(o Origin, path string) string {
	switch o {
	case OriginFlag, "":
		return "--" + path
	case OriginFile, OriginDefault:
		return path + " (" + string(o) + ")"
	case OriginEnv, OriginForm, OriginAPI:
	}
	return path
}
