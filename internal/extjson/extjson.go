package extjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/bsondiff"
	"github.com/rikki-go/rikki/internal/rawbson"
)

// MaxDepth is how deep objects and lists may nest: below what the server can store.
const MaxDepth = 90

// Value reads one value of any type.
func Value(text []byte) (bson.RawValue, error) {
	if err := Check(text); err != nil {
		return bson.RawValue{}, err
	}
	return Decode(text)
}

// Document reads one object.
func Document(text []byte) (bson.Raw, error) {
	if begin := bytes.TrimLeft(text, " \t\r\n"); len(begin) == 0 || begin[0] != '{' || !harmless(text) {
		return checkedDocument(text)
	}
	// The usual case, in a third of the time. What is wrong with others is told by the checks.
	var doc bson.Raw
	if bson.UnmarshalExtJSON(text, false, &doc) != nil || len(doc) == 0 || twice(doc) {
		return checkedDocument(text)
	}
	return doc, nil
}

func checkedDocument(text []byte) (bson.Raw, error) {
	v, err := Value(text)
	if err != nil {
		return nil, err
	}
	doc, ok := v.DocumentOK()
	if !ok {
		return nil, errors.New("it is no object")
	}
	return doc, nil
}

// harmless tells that a text is JSON without anything that the checks look for, but for names that an object has twice.
func harmless(text []byte) bool {
	const long = 19 // digits of a number that may be beyond 64 bits
	digits := 0
	for _, b := range text {
		if b < '0' || b > '9' {
			digits = 0
			continue
		}
		if digits++; digits == long {
			return false
		}
	}
	return !bytes.Contains(text, []byte(`\u`)) && utf8.Valid(text) && json.Valid(text)
}

// twice tells whether any object in a document may have a name twice.
func twice(doc bson.Raw) bool {
	const few = 64
	var names [few][]byte
	n := 0
	rest, ok := rawbson.Fields(doc)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); !ok {
			break
		}
		if n == few { // the checks have a map for so many
			return true
		}
		if slices.ContainsFunc(names[:n], func(name []byte) bool { return bytes.Equal(name, e.Name) }) || within(e) {
			return true
		}
		names[n] = e.Name
		n++
	}
	return !ok
}

// within tells whether an object in a value may have a name twice.
func within(e rawbson.Element) bool {
	switch e.Kind { //nolint:exhaustive // others hold no objects
	case bson.TypeEmbeddedDocument:
		return twice(e.Value)
	case bson.TypeCodeWithScope:
		return true
	case bson.TypeArray:
		rest, ok := rawbson.Fields(e.Value)
		for ok && len(rest) > 0 {
			var item rawbson.Element
			if item, rest, ok = rawbson.Next(rest); ok && within(item) {
				return true
			}
		}
		return !ok
	}
	return false
}

// Decode is [Value] for a text that was checked.
func Decode(text []byte) (bson.RawValue, error) {
	doc := make([]byte, 0, len(text)+len(`{"v":}`)) // package bson decodes documents only
	doc = append(doc, `{"v":`...)
	doc = append(doc, text...)
	doc = append(doc, '}')
	var wrapper bson.Raw
	if err := bson.UnmarshalExtJSON(doc, false, &wrapper); err != nil {
		return bson.RawValue{}, errors.New(strings.TrimPrefix(err.Error(), "error decoding key v: "))
	}
	return wrapper.Lookup("v"), nil
}

// D is a document whose values stay as they are encoded. Whoever encodes it again, with whatever options, gets the same bytes.
func D(doc bson.Raw) (bson.D, error) {
	elements, err := doc.Elements()
	if err != nil {
		return nil, err
	}
	d := make(bson.D, len(elements))
	for i, e := range elements {
		d[i] = bson.E{Key: e.Key(), Value: e.Value()}
	}
	return d, nil
}

// Check refuses what isn't exactly one value, and what package bson would change silently. The text itself stays out of the
// message where it could be anything.
func Check(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("the JSON isn't valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := checkValue(dec, "", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than one JSON value: there is something behind byte %d", dec.InputOffset())
	}
	return HalfCharacter(text)
}

func checkValue(dec *json.Decoder, path string, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return jsonError(dec, err)
	}
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d levels", MaxDepth)
	}
	switch token := token.(type) {
	case json.Number:
		return checkNumber(token.String(), path)
	case json.Delim:
		if token == '{' {
			return checkObject(dec, path, depth)
		}
		return checkArray(dec, path, depth)
	}
	return nil
}

func checkObject(dec *json.Decoder, path string, depth int) error {
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return jsonError(dec, err)
		}
		name, _ := token.(string) // nothing else can be there
		at := bsondiff.Field(path, name)
		if seen[name] {
			return fmt.Errorf("%s is there twice", at)
		}
		if strings.ContainsRune(name, 0) {
			return fmt.Errorf("the name %q holds a null character, which BSON can't", name)
		}
		seen[name] = true
		if err := checkValue(dec, at, depth+1); err != nil {
			return err
		}
	}
	return closing(dec)
}

func checkArray(dec *json.Decoder, path string, depth int) error {
	for i := 0; dec.More(); i++ {
		if err := checkValue(dec, bsondiff.Index(path, i), depth+1); err != nil {
			return err
		}
	}
	return closing(dec)
}

func closing(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return jsonError(dec, err)
	}
	return nil
}

func checkNumber(number, path string) error {
	if path == "" {
		path = "the value"
	}
	if !strings.ContainsAny(number, ".eE") {
		if _, err := strconv.ParseInt(number, 10, 64); err != nil {
			return fmt.Errorf(`%s: %s is beyond 64 bits: write it as {"$numberDecimal": %q} or as text`, path, number, number)
		}
		return nil
	}
	if _, err := strconv.ParseFloat(number, 64); err != nil {
		return fmt.Errorf(`%s: %s is beyond a double: write it as {"$numberDecimal": %q} or as text`, path, number, number)
	}
	return nil
}

func jsonError(dec *json.Decoder, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not valid JSON: it ends too early")
	}
	return fmt.Errorf("not valid JSON near byte %d: %w", dec.InputOffset(), err)
}

// HalfCharacter finds an escape that is half a character. Package json would put U+FFFD in its place.
func HalfCharacter(data []byte) error {
	half := func(at int, low, high byte) bool {
		if at+3 >= len(data) || data[at] != '\\' || data[at+1] != 'u' || data[at+2]|0x20 != 'd' {
			return false
		}
		c := data[at+3] | 0x20
		return c >= low && c <= high
	}
	for i := 0; i < len(data); i++ {
		switch {
		case data[i] != '\\':
		case (half(i, '8', '9') || half(i, 'a', 'b')) && half(i+6, 'c', 'f'):
			i += 11
		case half(i, '8', '9'), half(i, 'a', 'f'):
			return fmt.Errorf("the escape at byte %d is half a character", i)
		default:
			i++ // the character after the backslash
		}
	}
	return nil
}
