package yamlfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/rikki-go/rikki/params"
)

// Inline puts what the file says about MongoDB's own values, such as a filter, in place of the plain values of a map, for the
// parameters whose format begins with "mongo-". They become the Extended JSON that a flag would have: in the order of the file, a
// float a float, a date a date. Values that are no map stay as they are. At is where they stand in the file, "" for the whole of
// it. The error is an [*Error].
func (f *File) Inline(values any, at string, spec *params.Spec) error {
	m, ok := values.(map[string]any)
	if !ok {
		return nil
	}
	w := &walker{file: f, left: maxNodes}
	for _, field := range spec.Fields() {
		if !strings.HasPrefix(field.Format, "mongo-") {
			continue
		}
		for key := range m {
			if fold(key) != fold(field.Path) {
				continue
			}
			_, node := child(f.node(at), key)
			if node == nil {
				continue
			}
			if field.Kind == params.List {
				m[key] = w.words(node, m[key])
				continue
			}
			m[key] = w.word(node)
		}
	}
	if len(w.problems) > 0 {
		return &Error{File: f.name, Problems: w.problems}
	}
	return nil
}

// node is what stands at a path, or an empty one.
func (f *File) node(path string) *yaml.Node {
	node := f.root
	for _, step := range split(path) {
		if _, node = child(node, step); node == nil {
			return &yaml.Node{}
		}
	}
	return node
}

// words are those of a list; anything else stays as it is, for the parameter to refuse.
func (w *walker) words(n *yaml.Node, plain any) any {
	n = followed(n)
	if n.Kind != yaml.SequenceNode {
		return plain
	}
	items := make([]any, len(n.Content))
	for i, item := range n.Content {
		items[i] = w.word(item)
	}
	return items
}

// word is a value as a flag has it: text as it is, and everything else as Extended JSON.
func (w *walker) word(n *yaml.Node) string {
	n = followed(n)
	if n.Kind == yaml.ScalarNode {
		text, isText := w.extendedScalar(n)
		if isText {
			return n.Value
		}
		return text
	}
	var b bytes.Buffer
	w.extended(&b, n, 0)
	return b.String()
}

func followed(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// extended writes a node as Extended JSON.
func (w *walker) extended(b *bytes.Buffer, n *yaml.Node, depth int) {
	if w.left--; w.left < 0 || depth > maxDepth {
		if w.left > -2 {
			w.fail(n, "the file nests too deeply, or its aliases stand for too much")
		}
		w.left = -2
		return
	}
	n = followed(n)
	switch n.Kind {
	case yaml.SequenceNode:
		w.extendedList(b, n, depth)
	case yaml.MappingNode:
		w.extendedObject(b, n, depth)
	default:
		text, isText := w.extendedScalar(n)
		if isText {
			text = quoted(n.Value)
		}
		b.WriteString(text)
	}
}

func (w *walker) extendedList(b *bytes.Buffer, n *yaml.Node, depth int) {
	if tag := n.ShortTag(); tag != "!!seq" {
		w.fail(n, tag+" has no meaning here")
	}
	b.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			b.WriteString(", ")
		}
		w.extended(b, item, depth+1)
	}
	b.WriteByte(']')
}

func (w *walker) extendedObject(b *bytes.Buffer, n *yaml.Node, depth int) {
	if tag := n.ShortTag(); tag != "!!map" {
		w.fail(n, tag+" has no meaning here")
	}
	b.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		if i > 0 {
			b.WriteString(", ")
		}
		key, value := n.Content[i].Value, followed(n.Content[i+1])
		b.WriteString(quoted(key) + ": ")
		if text, ok := wrapped(key, value); ok {
			b.WriteString(text)
			continue
		}
		w.extended(b, value, depth+1)
	}
	b.WriteByte('}')
}

// wrapped is the text that Extended JSON wants behind a name such as $oid. There a word without quotes is that text: an ObjectID that
// happens to have no letters, a decimal with its last zero, a date.
func wrapped(key string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return "", false
	}
	switch key {
	case "$oid", "$uuid", "$symbol", "$code", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "base64", "subType":
		return quoted(n.Value), true
	case "$date":
		if at, ok := moment(n.Value); ok {
			return quoted(at), true
		}
	}
	return "", false
}

var (
	wholeNumber = regexp.MustCompile(`^[-+]?[0-9]+$`)
	decimal     = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	radix       = regexp.MustCompile(`^[-+]?0[xob]`)
	likeNumber  = regexp.MustCompile(`^[-+]?\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?$`)
	likeDate    = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?$`)
)

// extendedScalar writes a scalar as Extended JSON, or says that it is text. YAML 1.2 decides; what its versions read in different
// ways, and what nearly is a number or a date, is refused: quotes make text of it.
func (w *walker) extendedScalar(n *yaml.Node) (text string, isText bool) {
	plain := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	var message string
	switch tag := n.ShortTag(); {
	case n.Style&yaml.TaggedStyle != 0:
		text, isText, message = taggedScalar(tag, n.Value)
	case !plain:
		return "", true
	default:
		text, isText, message = plainScalar(n.Value)
	}
	if message != "" {
		w.fail(n, message)
	}
	return text, isText
}

// plainScalar is a word without quotes.
func plainScalar(word string) (text string, isText bool, message string) {
	switch word {
	case "", "~", "null", "Null", "NULL":
		return "null", false, ""
	case "true", "True", "TRUE":
		return "true", false, ""
	case "false", "False", "FALSE":
		return "false", false, ""
	}
	switch {
	case likeDate.MatchString(word):
		text, message = dateOf(word)
	case radix.MatchString(word), likeNumber.MatchString(word), special(word) != "":
		text, message = numberOf(word)
	default:
		return "", true, ""
	}
	return text, false, message
}

// taggedScalar is a word whose type is written before it.
func taggedScalar(tag, word string) (text string, isText bool, message string) {
	switch tag {
	case "!!str":
		return "", true, ""
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(word), ""))
		if err != nil {
			return "", false, "it is no base64: " + err.Error()
		}
		return `{"$binary": {"base64": "` + base64.StdEncoding.EncodeToString(data) + `", "subType": "00"}}`, false, ""
	case "!!timestamp":
		text, message = dateOf(word)
	case "!!int", "!!float":
		text, message = numberOf(word)
		if message == "" && tag == "!!float" && wholeNumber.MatchString(text) {
			text += ".0"
		} else if message == "" && tag == "!!int" && !wholeNumber.MatchString(text) {
			message = word + " is no whole number"
		}
	case "!!null", "!!bool":
		if text, isText, _ = plainScalar(word); isText || (text == "null") != (tag == "!!null") || text != "null" && text != "true" && text != "false" {
			return "", false, word + " is no " + strings.TrimPrefix(tag, "!!")
		}
	default:
		return "", false, tag + " has no meaning here"
	}
	return text, false, message
}

// dateOf is a date as Extended JSON.
func dateOf(word string) (text, message string) {
	at, ok := moment(word)
	if !ok {
		return "", word + " looks like a date and is none: write 2026-01-02, or 2026-01-02T15:04:05Z; quotes make text of it"
	}
	return `{"$date": ` + quoted(at) + `}`, ""
}

// moment is a timestamp of YAML as RFC 3339. One without a zone is UTC, as YAML says.
func moment(word string) (string, bool) {
	for _, layout := range []string{
		"2006-1-2", "2006-1-2T15:4:5Z07:00", "2006-1-2t15:4:5Z07:00", "2006-1-2 15:4:5Z07:00", "2006-1-2 15:4:5 Z07:00", "2006-1-2T15:4:5Z0700",
		"2006-1-2 15:4:5 Z0700", "2006-1-2T15:4:5Z07", "2006-1-2 15:4:5 Z07", "2006-1-2T15:4:5", "2006-1-2 15:4:5",
	} {
		if at, err := time.Parse(layout, word); err == nil {
			return at.UTC().Format(time.RFC3339Nano), true
		}
	}
	return "", false
}

// special are the floats that are no numbers of JSON.
func special(word string) string {
	switch word {
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return "Infinity"
	case "-.inf", "-.Inf", "-.INF":
		return "-Infinity"
	case ".nan", ".NaN", ".NAN":
		return "NaN"
	}
	return ""
}

// numberOf is a number as Extended JSON: whole ones have no dot, floats have one, or an exponent.
func numberOf(word string) (text, message string) {
	if name := special(word); name != "" {
		return `{"$numberDouble": "` + name + `"}`, ""
	}
	digits := strings.TrimLeft(word, "-+")
	switch {
	case strings.Contains(word, "_"):
		return "", word + " is a number in YAML 1.1 and text in YAML 1.2: write it without _, or in quotes if it is text"
	case strings.HasPrefix(digits, "0b"):
		return "", word + " is binary in YAML 1.1 and text in YAML 1.2: write it in quotes if it is text, as 0x… or in decimal if it is a number"
	case radix.MatchString(word):
		i, err := strconv.ParseInt(word, 0, 64)
		if err != nil {
			return "", word + " is no whole number of 64 bits; quotes make text of it"
		}
		return strconv.FormatInt(i, 10), ""
	case len(digits) > 1 && digits[0] == '0' && '0' <= digits[1] && digits[1] <= '9':
		return "", word + " is octal in YAML 1.1 and decimal in YAML 1.2: write it in quotes if it is text, as 0o… or without the zero if it is a number"
	case wholeNumber.MatchString(word):
		i, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return "", fmt.Sprintf("%s is beyond 64 bits: write it as {$numberDecimal: %q}, or in quotes if it is text", word, word)
		}
		return strconv.FormatInt(i, 10), ""
	case !decimal.MatchString(word):
		return "", word + " is no number; quotes make text of it"
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return "", fmt.Sprintf("%s is beyond a double: write it as {$numberDecimal: %q}, or in quotes if it is text", word, word)
	}
	text = strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text, ""
}

// quoted is text as JSON.
func quoted(text string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // text always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
