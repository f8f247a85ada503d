package jsonconfig

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/extjson"
)

// FromJSON turns JSON into a value for [Config.Value]. It understands Extended
// JSON, such as {"$date": "2026-01-02T00:00:00Z"}. A whole number becomes an
// integer, exactly; one beyond 64 bits is refused, as are names that an object
// has twice, and text that isn't UTF-8, because all of them would be changed
// silently.
func FromJSON(data []byte) (bson.RawValue, error) {
	if err := extjson.Check(data); err != nil {
		return bson.RawValue{}, &InvalidError{Problems: []string{err.Error()}}
	}
	v, err := extjson.Decode(data)
	if err != nil {
		return bson.RawValue{}, &InvalidError{Problems: []string{"not valid Extended JSON: " + err.Error()}}
	}
	return v, nil
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
