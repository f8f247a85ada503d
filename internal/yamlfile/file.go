package yamlfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/rikki-go/rikki/params"
)

const (
	maxBytes = 1 << 20 // a file that people write is far smaller
	maxDepth = 50
	maxNodes = 100_000 // after aliases are followed: a few lines of them can stand for billions
)

// File is a YAML file whose values know where they stand.
type File struct {
	name  string
	lines []string
	root  *yaml.Node
	value map[string]any
}

// Parse reads a file of one document, which is a mapping. The error is an [*Error].
func Parse(name string, data []byte) (*File, error) {
	f := &File{name: name, lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")}
	if len(data) > maxBytes {
		return nil, f.fault(place{}, fmt.Sprintf("the file has %d bytes, and at most %d are read", len(data), maxBytes))
	}
	root, err := f.parse(data)
	if err != nil {
		return nil, err
	}
	f.root = root
	w := &walker{file: f, left: maxNodes}
	value := w.value(root, 0)
	if len(w.problems) > 0 {
		return nil, &Error{File: name, Problems: w.problems}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, f.fault(f.placeOf(root), "the file is not a mapping: it begins with keys, such as name:")
	}
	f.value = object
	return f, nil
}

// Map is what the file says, as [params.Spec.FromMap] takes it.
func (f *File) Map() map[string]any { return f.value }

// Fill puts the values of m, which are those of the file or what was made of them, into the struct that v points to. The
// error is an [*Error], unless the struct can't hold parameters.
func (f *File) Fill(v any, m map[string]any) error {
	spec, err := params.Of(v)
	if err != nil {
		return err
	}
	layer, err := spec.FromMap(m, params.OriginFile)
	return f.Locate(params.Join(err, spec.Fill(v, layer)))
}

// parse returns the node of the one document.
func (f *File) parse(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, f.fault(place{}, "the file is empty")
	case err != nil:
		return nil, f.syntax(err)
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, f.fault(f.placeOf(&more), "the file has a second document: only one is read")
	case !errors.Is(err, io.EOF):
		return nil, f.syntax(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, f.fault(place{}, "the file is empty")
	}
	return doc.Content[0], nil
}

// syntax is the problem of a file that isn't YAML.
func (f *File) syntax(err error) error {
	var at place
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		at = place{line: load.Mark.Line, column: load.Mark.Column, width: 1}
		message = load.Message
		if load.ContextMsg != "" {
			message = load.ContextMsg + ", " + message
		}
	}
	return f.fault(at, "this is no YAML: "+message)
}

// walker turns nodes into plain values.
type walker struct {
	file     *File
	left     int
	problems []Problem
}

func (w *walker) fail(n *yaml.Node, message string) {
	const most = 20
	if len(w.problems) < most {
		w.problems = append(w.problems, w.file.problem(w.file.placeOf(n), message))
	}
}

func (w *walker) value(n *yaml.Node, depth int) any {
	if w.left--; w.left < 0 || depth > maxDepth {
		if w.left > -2 {
			w.fail(n, "the file nests too deeply, or its aliases stand for too much")
		}
		w.left = -2
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		items := make([]any, len(n.Content))
		for i, item := range n.Content {
			items[i] = w.value(item, depth+1)
		}
		return items
	case yaml.MappingNode:
		return w.mapping(n, depth)
	default:
		return w.scalar(n)
	}
}

func (w *walker) mapping(n *yaml.Node, depth int) any {
	object := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		_, twice := object[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			w.fail(key, "a key must be a plain word")
		case key.Tag == "!!merge":
			w.fail(key, "<< is not supported: write the keys out")
		case twice:
			w.fail(key, key.Value+" is given twice")
		default:
			object[key.Value] = w.value(n.Content[i+1], depth+1)
		}
	}
	return object
}

// jsonNumber is a number that JSON writes in the same way.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// scalar leaves what looks like a time as the text that it is: the parameter decides what it means.
func (w *walker) scalar(n *yaml.Node) any {
	if n.ShortTag() == "!!timestamp" {
		return n.Value
	}
	if n.Style == 0 && jsonNumber.MatchString(n.Value) {
		return json.Number(n.Value) // with all its digits: the parameter decides what number it is
	}
	var v any
	if err := n.Decode(&v); err != nil {
		w.fail(n, n.Value+" is no "+strings.TrimPrefix(n.ShortTag(), "!!"))
		return nil
	}
	return v
}
