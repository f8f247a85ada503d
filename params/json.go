package params

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/rikki-go/rikki/internal/extjson"
)

// What one input may have at most.
const (
	MaxValue = 1 << 20  // bytes of one value
	MaxTotal = 16 << 20 // bytes of all of one input
	MaxDepth = 64       // levels of nested JSON
)

// FromJSON reads a JSON object with the parameters as members: nested or with dotted names, in any spelling. Integers
// keep every digit; a string of digits stands for an integer too. The error, an [*Error], lists every unknown and
// double member; the layer has the others.
func (s *Spec) FromJSON(data []byte, o Origin) (Layer, error) {
	l := newLayer(o)
	object, problems := parseObject(data, o)
	problems = append(problems, l.flatten(s.root, place{}, object)...)
	return l, asError(problems)
}

// parseObject reads a JSON document that must be an object.
func parseObject(data []byte, o Origin) (map[string]any, []Problem) {
	v, problems := parseJSON(data, o)
	if v == nil && len(problems) > 0 {
		return nil, problems
	}
	object, ok := v.(map[string]any)
	if !ok {
		problems = append(problems, Problem{Message: "the parameters must be a JSON object such as {\"name\": \"value\"}", Origin: o})
	}
	return object, problems
}

// parseJSON reads one JSON document and reports double members and text that is not Unicode, which encoding/json
// would let pass.
func parseJSON(data []byte, o Origin) (any, []Problem) {
	if len(data) > MaxTotal {
		return nil, []Problem{{Message: fmt.Sprintf("the JSON has %s; the most is %s", size(len(data)), size(MaxTotal)), Origin: o}}
	}
	p := jsonParser{origin: o}
	if !utf8.Valid(data) {
		data = p.markInvalid(data)
	}
	p.dec = json.NewDecoder(bytes.NewReader(data))
	p.dec.UseNumber()
	v, err := p.value("", 0)
	if err == nil {
		if _, more := p.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after its end")
		}
	}
	if err == nil {
		err = extjson.HalfCharacter(data)
	}
	if err != nil {
		// The text itself stays out of the message: there may be a secret in it.
		return nil, append(p.problems, Problem{Message: "not valid JSON: " + p.explain(err), Origin: o})
	}
	return v, p.problems
}

type jsonParser struct {
	dec      *json.Decoder
	origin   Origin
	invalid  string // what marks invalid UTF-8, if there is any
	problems []Problem
}

// value reads the next value; path is its place.
func (p *jsonParser) value(path string, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("it nests deeper than %d levels", MaxDepth)
	}
	t, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return p.object(path, depth)
		}
		return p.array(path, depth)
	case string:
		return p.refuseInvalid(path, t), nil
	default:
		return t, nil
	}
}

func (p *jsonParser) object(path string, depth int) (any, error) {
	m := map[string]any{}
	for p.dec.More() {
		t, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // the decoder lets nothing else be a key
		at := join(path, shorten(key))
		key = p.refuseInvalid(at, key)
		v, err := p.value(at, depth+1)
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			p.report(at, "is given twice")
		}
		m[key] = v
	}
	_, err := p.dec.Token()
	return m, err
}

func (p *jsonParser) array(path string, depth int) (any, error) {
	items := []any{}
	for p.dec.More() {
		v, err := p.value(fmt.Sprintf("%s[%d]", path, len(items)), depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	_, err := p.dec.Token()
	return items, err
}

func (p *jsonParser) report(path, message string) {
	if p.invalid != "" {
		path = strings.ReplaceAll(path, p.invalid, string(utf8.RuneError))
	}
	p.problems = append(p.problems, Problem{Field: path, Name: label(p.origin, path), Message: message, Origin: p.origin})
}

// markInvalid puts a character in place of invalid bytes that no text has, so that the field can be named later.
func (p *jsonParser) markInvalid(data []byte) []byte {
	p.invalid = string(utf8.RuneError)
	for r := '\uFDD0'; r <= '\uFDEF'; r++ { // noncharacters
		if !bytes.ContainsRune(data, r) {
			p.invalid = string(r)
			break
		}
	}
	return bytes.ToValidUTF8(data, []byte(p.invalid))
}

// refuseInvalid reports a marked string and returns it without the marks.
func (p *jsonParser) refuseInvalid(path, s string) string {
	if p.invalid == "" || !strings.Contains(s, p.invalid) {
		return s
	}
	p.report(path, "is not valid UTF-8")
	return strings.ReplaceAll(s, p.invalid, string(utf8.RuneError))
}

func (p *jsonParser) explain(err error) string {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s at byte %d", quoteIfOdd(syntax.Error()), p.dec.InputOffset())
	}
	return err.Error()
}
