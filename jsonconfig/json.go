package jsonconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/bsondiff"
)

// FromJSON turns JSON into a value for [Config.Value]. It understands Extended
// JSON, such as {"$date": "2026-01-02T00:00:00Z"}. A whole number becomes an
// integer, exactly; one beyond 64 bits is refused, as are names that an object
// has twice, and text that isn't UTF-8, because all of them would be changed
// silently.
func FromJSON(data []byte) (bson.RawValue, error) {
	if err := checkJSON(data); err != nil {
		return bson.RawValue{}, &InvalidError{Problems: []string{err.Error()}}
	}
	doc := make([]byte, 0, len(data)+8)
	doc = append(doc, `{"`+valueKey+`":`...)
	doc = append(doc, data...)
	doc = append(doc, '}')
	var wrapper struct {
		Value bson.RawValue `bson:"v"`
	}
	if err := bson.UnmarshalExtJSON(doc, false, &wrapper); err != nil {
		return bson.RawValue{}, &InvalidError{Problems: []string{"not valid Extended JSON: " + err.Error()}}
	}
	return wrapper.Value, nil
}

// JSON returns the value for people and for editing: indented Extended JSON in
// which numbers and dates look ordinary. The distinction between 32-bit and
// 64-bit integers is lost, but no digit is.
func (c Config) JSON() ([]byte, error) {
	compact, err := c.extJSON(relaxed)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("indent config %q: %w", c.Slug, err)
	}
	return buf.Bytes(), nil
}

// CanonicalJSON returns the value as canonical Extended JSON, on one line.
// [FromJSON] makes exactly the same value of it.
func (c Config) CanonicalJSON() ([]byte, error) { return c.extJSON(canonical) }

// The two forms of Extended JSON, in the driver's words.
const (
	canonical = true
	relaxed   = false
)

func (c Config) extJSON(form bool) ([]byte, error) {
	raw, err := encode(c.Value)
	if err != nil {
		return nil, fmt.Errorf("config %q: %w", c.Slug, err)
	}
	return rawJSON(raw, form)
}

func rawJSON(raw bson.RawValue, form bool) ([]byte, error) {
	doc, err := bson.MarshalExtJSON(bson.D{{Key: valueKey, Value: raw}}, form, false)
	if err != nil {
		return nil, fmt.Errorf("render a config's value as JSON: %w", err)
	}
	doc = bytes.TrimPrefix(doc, []byte(`{"`+valueKey+`":`))
	return bytes.TrimSuffix(doc, []byte("}")), nil
}

// maxDepth is below what the server can store.
const maxDepth = 90

// checkJSON refuses what the driver's parser would change silently.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("the JSON isn't valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, "", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than one JSON value: there is something behind byte %d", dec.InputOffset())
	}
	return nil
}

func checkValue(dec *json.Decoder, path string, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return jsonError(dec, err)
	}
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
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
