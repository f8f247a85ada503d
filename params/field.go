package params

import (
	"fmt"
	"slices"
	"strings"
)

// Field describes one parameter to whoever shows it: a help page, a form, a table of documentation.
type Field struct {
	Path   string // "source.coll"
	GoName string // "Coll"
	Help   string
	// Default is the value without any input, as text. That of a secret is masked.
	Default string
	Kind    Kind
	// Type is what help prints after the flag: "int", "list of string".
	Type string
	// Elem is the kind of the items of a list or map; of anything else it is Kind.
	Elem Kind
	Enum []string
	// Env are the variables of the tag; [Spec.FromEnv] adds the automatic one, see [Field.EnvNames].
	Env         []string
	Short       string
	Placeholder string
	// Choices is the method that lists the values at the time of asking.
	Choices            string
	Min, Max           string
	MinLength          *int
	MaxLength          *int
	MinItems, MaxItems *int
	Unique             bool
	Pattern, Format    string
	Required, Secret   bool
	Optional           bool // a pointer, or within an optional struct: absent is a value of its own

	node *node
}

// Fields lists the parameters in the order of declaration, those of nested structs in the place of the struct.
func (s *Spec) Fields() []Field {
	leaves := s.leaves()
	fields := make([]Field, len(leaves))
	for i, n := range leaves {
		fields[i] = n.field()
	}
	return fields
}

func (n *node) field() Field {
	item := n.item()
	return Field{
		Path: n.path, GoName: n.goName, Help: n.tags.help, Default: n.defaultText(),
		Kind: n.kind, Type: n.typeText(), Elem: item.kind, Enum: slices.Clone(item.rules.enum),
		Env: slices.Clone(n.tags.env), Short: n.tags.short, Placeholder: n.tags.placeholder, Choices: n.tags.choices,
		Min: item.rules.min, Max: item.rules.max, MinLength: item.rules.minLen, MaxLength: item.rules.maxLen,
		MinItems: n.rules.minItems, MaxItems: n.rules.maxItems, Unique: n.rules.unique,
		Pattern: item.rules.patternText(), Format: item.rules.format,
		Required: n.tags.required && !n.initial.IsValid(), Secret: n.tags.secret, Optional: n.ptr || n.optional,
		node: n,
	}
}

// EnvNames lists the environment variables that [Spec.FromEnv] asks with this prefix, in its order.
func (f Field) EnvNames(prefix string) []string {
	if f.node == nil {
		return slices.Clone(f.Env)
	}
	return slices.Clone(f.node.envNames(prefix))
}

// Flag returns the flag with its value: "--batch-size int", "--force". A secret has no flag, only its path.
func (f Field) Flag() string {
	switch {
	case f.Secret:
		return f.Path
	case f.Kind == Bool:
		return "--" + f.Path
	case f.Placeholder != "":
		return "--" + f.Path + " " + f.Placeholder
	}
	return "--" + f.Path + " " + f.Type
}

// Notes returns everything that help says after the sentence of the author: "(default 500, 1 to 1000)".
func (f Field) Notes() string {
	var notes []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	add(f.Required, "required")
	add(f.Default != "", "default %s", f.Default)
	add(len(f.Enum) > 0, "one of %s", strings.Join(f.Enum, ", "))
	if f.node != nil {
		bounds := f.node.item().allowedRange()
		add(bounds != "", "%s", bounds)
	}
	add(f.Secret, "secret, not on the command line")
	add(len(f.Env) > 0, "env %s", strings.Join(f.Env, ", "))
	if len(notes) == 0 {
		return ""
	}
	return "(" + strings.Join(notes, "; ") + ")"
}

// Usage returns the lines of a help page about all parameters, one or two for each.
func (s *Spec) Usage() string {
	const column = 30
	var b strings.Builder
	for _, f := range s.Fields() {
		left := "      " + f.Flag()
		if f.Short != "" {
			left = "  -" + f.Short + ", " + f.Flag()
		}
		right := strings.TrimSpace(f.Help + " " + f.Notes())
		switch {
		case right == "":
			b.WriteString(left + "\n")
		case len(left) > column-2:
			fmt.Fprintf(&b, "%s\n%*s%s\n", left, column, "", right)
		default:
			fmt.Fprintf(&b, "%-*s%s\n", column, left, right)
		}
	}
	return b.String()
}

// item returns the node that rules about values are kept at.
func (n *node) item() *node {
	for n.elem != nil {
		n = n.elem
	}
	return n
}

func (n *node) typeText() string {
	switch n.kind {
	case List:
		return "list of " + n.elem.typeText()
	case Map:
		return "map of " + n.elem.typeText()
	case Float:
		return "number"
	case Text:
		return Kebab(n.typ.Name())
	default:
		return n.kind.String()
	}
}

func (n *node) valueWord() string {
	if n.tags.placeholder != "" {
		return n.tags.placeholder
	}
	return strings.ToUpper(strings.ReplaceAll(n.name, "-", "_"))
}

// defaultText is the value that a parameter has when nobody gives it.
func (n *node) defaultText() string {
	switch {
	case n.initial.IsValid() && n.tags.secret:
		return mask
	case n.initial.IsValid():
		return n.flagText(n.deref(n.initial))
	}
	return n.tags.deflt
}

func (r rules) patternText() string {
	if r.pattern == nil {
		return ""
	}
	return r.pattern.String()
}
