package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Limits that keep a run's document, all of them together, far below the server's 16 MiB.
const (
	valueLimit   = 1 << 20   // parameters and result, each
	stackLimit   = 256 << 10 // a panic's stack
	textLimit    = 64 << 10  // an error's sentences, a log message, a record's attributes, the counters
	findingLimit = 4 << 10   // one finding's sentence
	wordLimit    = 1 << 10   // names
	searchLimit  = 2 << 10
	maxFindings  = 1000
	// maxDepth is how deep BSON may nest. The server takes 180 levels, of which the pipelines around a value need some.
	maxDepth = 100
	// maxSteps is how many pointers, interfaces and containers of Go may lead to a value before it counts as endless.
	maxSteps = 1000
)

// appendFitted adds a value of the caller's under name, or what fits of it and a note under name_cut.
func appendFitted(d bson.D, name string, v any) bson.D {
	rv, cut := fit(v, valueLimit)
	if !rv.IsZero() {
		d = append(d, bson.E{Key: name, Value: rv})
	}
	if cut != nil {
		d = append(d, bson.E{Key: name + "_cut", Value: cut})
	}
	return d
}

// fit turns v into BSON of at most limit bytes. What is larger becomes the beginning of its extended JSON, a string; what
// BSON can't hold becomes nothing. A script's odd result must never keep its run from being recorded, so there is no error.
func fit(v any, limit int) (bson.RawValue, *Cut) {
	if v == nil {
		return bson.RawValue{}, nil
	}
	rv, err := marshal(v)
	if err != nil {
		return bson.RawValue{}, &Cut{Why: clip("BSON can't hold it: "+err.Error(), wordLimit)}
	}
	if len(rv.Value) <= limit {
		return rv, nil
	}
	why := fmt.Sprintf("it has %d bytes; %d are kept", len(rv.Value), limit)
	text, err := extJSON(rv)
	if err != nil {
		return bson.RawValue{}, &Cut{Bytes: int64(len(rv.Value)), Why: "it is too large and has no text form: " + err.Error()}
	}
	prefix, err := marshal(prefixOf(text, limit))
	if err != nil {
		return bson.RawValue{}, &Cut{Bytes: int64(len(rv.Value)), Why: "it is too large: " + err.Error()}
	}
	return prefix, &Cut{Bytes: int64(len(rv.Value)), Why: why}
}

// marshal survives whatever a script's own types do.
func marshal(v any) (rv bson.RawValue, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its type panicked: %v", p)
		}
	}()
	// Endless recursion is the one fault that recover can't catch.
	if endless(reflect.ValueOf(v), 0) {
		return bson.RawValue{}, errors.New("it contains itself, or nests far too deep")
	}
	typ, data, err := bson.MarshalValue(v)
	if err != nil {
		return bson.RawValue{}, err
	}
	rv = bson.RawValue{Type: typ, Value: data}
	if err := rv.Validate(); err != nil {
		return bson.RawValue{}, err
	}
	if deep(rv, 0) {
		return bson.RawValue{}, fmt.Errorf("it nests deeper than %d levels", maxDepth)
	}
	return rv, nil
}

func deep(rv bson.RawValue, depth int) bool {
	var doc bson.Raw
	switch rv.Type {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		doc = rv.Value
	default:
		return false
	}
	if depth > maxDepth {
		return true
	}
	values, err := doc.Values()
	if err != nil {
		return false // validated before
	}
	return slices.ContainsFunc(values, func(v bson.RawValue) bool { return deep(v, depth+1) })
}

// endless walks what BSON would walk.
func endless(v reflect.Value, steps int) bool {
	if steps > maxSteps {
		return true
	}
	if v.IsValid() && v.CanInterface() {
		switch v.Interface().(type) {
		case bson.Marshaler, bson.ValueMarshaler:
			return false // walks by itself
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && endless(v.Elem(), steps+1)
	case reflect.Map:
		if flat(v.Type().Elem()) {
			return false
		}
		for it := v.MapRange(); it.Next(); {
			if endless(it.Value(), steps+1) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if flat(v.Type().Elem()) {
			return false
		}
		for i := range v.Len() {
			if endless(v.Index(i), steps+1) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Tag.Get("bson") != "-" && endless(v.Field(i), steps+1) {
				return true
			}
		}
	default:
	}
	return false
}

// flat says that values of the type contain no others, so that a megabyte of bytes is not looked at one by one.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
		return false
	default:
		return true
	}
}

// extJSON is the value's relaxed extended JSON.
func extJSON(rv bson.RawValue) (string, error) {
	b, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: rv}}, false, false)
	if err != nil {
		return "", err
	}
	var wrapped struct {
		V json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal(b, &wrapped); err != nil {
		return "", err
	}
	return string(wrapped.V), nil
}

// prefixOf returns at most limit bytes of s, valid UTF-8 as BSON demands, and ends between characters.
func prefixOf(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// clip is prefixOf with a mark that people see.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return prefixOf(s, limit) + fmt.Sprintf("… (cut: %d bytes)", len(s))
}

func appendFindings(d bson.D, findings []Finding) bson.D {
	if len(findings) == 0 {
		return d
	}
	kept := make([]Finding, 0, min(len(findings), maxFindings))
	for _, f := range findings[:cap(kept)] {
		kept = append(kept, Finding{
			Level: clip(f.Level, wordLimit), Field: clip(f.Field, wordLimit), Message: clip(f.Message, findingLimit),
		})
	}
	d = append(d, bson.E{Key: "findings", Value: kept})
	if left := len(findings) - len(kept); left > 0 {
		d = append(d, bson.E{Key: "findings_cut", Value: left})
	}
	return d
}

func appendProgress(d bson.D, p *Progress) bson.D {
	if p == nil {
		return d
	}
	clipped := *p
	clipped.Message = clip(p.Message, findingLimit)
	return append(d, bson.E{Key: "progress", Value: literal(clipped)})
}

// appendCounters adds the counters of an update; nil leaves what is stored.
func appendCounters(d bson.D, counters map[string]int64) bson.D {
	if counters == nil {
		return d
	}
	rv, cut := fit(counters, textLimit)
	if cut != nil {
		return append(d, bson.E{Key: "counters_cut", Value: literal(cut)})
	}
	return append(d, bson.E{Key: "counters", Value: literal(rv)})
}

func clipError(e RunError) RunError {
	return RunError{
		Kind: clip(e.Kind, wordLimit), Message: clip(e.Message, textLimit),
		Why: clip(e.Why, textLimit), Fix: clip(e.Fix, textLimit), Stack: clip(e.Stack, stackLimit),
	}
}

// searchText is what [Filter.Text] looks through, in lower case.
func searchText(n NewRun, doc bson.D) string {
	words := []string{n.ID, n.Script, n.Actor, n.Owner.Host}
	for _, e := range doc {
		if rv, ok := e.Value.(bson.RawValue); ok && e.Key == "params" && len(rv.Value) <= valueLimit {
			if text, err := extJSON(rv); err == nil {
				words = append(words, text)
			}
		}
	}
	return prefixOf(strings.ToLower(strings.Join(words, "\n")), searchLimit)
}
