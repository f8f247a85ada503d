package yamlfile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
	"go.yaml.in/yaml/v4"

	"github.com/rikki-go/rikki/params"
)

// place is where something stands; lines and columns count from 1, and the width is in characters.
type place struct{ line, column, width int }

// Locate gives each problem of a [*params.Error] its place in the file, by the problem's Field. Other errors stay as they
// are.
func (f *File) Locate(err error) error {
	invalid, ok := err.(*params.Error) //nolint:errorlint // a wrapped one has words of its own
	if !ok {
		return err
	}
	located := &Error{File: f.name}
	for _, p := range invalid.Problems {
		message := p.Message
		unknown := p.Message == "unknown parameter"
		if unknown {
			message = "unknown key"
		}
		if p.Field != "" {
			message = p.Field + ": " + message
		}
		if p.Suggestion != "" {
			message += ". Did you mean " + p.Suggestion + "?"
		}
		located.Problems = append(located.Problems, f.problem(f.find(p.Field, unknown), message))
	}
	slices.SortStableFunc(located.Problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return located
}

// fault is the error of one problem.
func (f *File) fault(at place, message string) error {
	return &Error{File: f.name, Problems: []Problem{f.problem(at, message)}}
}

func (f *File) problem(at place, message string) Problem {
	p := Problem{Line: at.line, Column: at.column, Message: message}
	if at.line < 1 || at.line > len(f.lines) {
		p.Line, p.Column = 0, 0
		return p
	}
	p.Text = strings.TrimRight(f.lines[at.line-1], " ")
	text := []rune(p.Text)
	before := min(at.column-1, len(text))
	under := text[before:min(before+max(1, at.width), len(text))]
	p.caret = blank(string(text[:before])) + strings.Repeat("^", max(1, runewidth.StringWidth(string(under))))
	return p
}

// blank is as wide as the text. Tabs stay, because nobody knows how wide they are.
func blank(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\t' {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Repeat(" ", runewidth.RuneWidth(r)))
	}
	return b.String()
}

// find returns the place of a path such as steps[1].after[0]: of the value, of the key where the value is more than a word,
// and of what is nearest where the file doesn't say it at all. With byKey it is always the key.
func (f *File) find(path string, byKey bool) place {
	node, at := f.root, f.placeOf(f.root)
	for _, step := range split(path) {
		key, value := child(node, step)
		if value == nil {
			break
		}
		node = value
		switch {
		case value.Kind == yaml.ScalarNode && value.Value != "" && !byKey:
			at = f.placeOf(value)
		case key != nil:
			at = f.placeOf(key)
		default:
			at = f.placeOf(first(value))
		}
	}
	return at
}

// first is what a person would call the beginning of a value.
func first(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		return n.Content[0]
	}
	return n
}

// child returns the member of a mapping, whatever its spelling, or the item of a sequence.
func child(n *yaml.Node, step string) (key, value *yaml.Node) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return nil, n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if fold(n.Content[i].Value) == fold(step) {
				return n.Content[i], n.Content[i+1]
			}
		}
	default:
	}
	return nil, nil
}

func fold(word string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(word))
}

// split cuts steps[1].after[0] into steps, 1, after, 0.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// placeOf is the place of a node. A quoted word includes its quotes.
func (f *File) placeOf(n *yaml.Node) place {
	at := place{line: n.Line, column: n.Column, width: 1}
	if n.Kind == yaml.ScalarNode {
		at.width = len([]rune(n.Value))
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			at.width += 2
		}
	}
	return at
}
