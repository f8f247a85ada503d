package jsonconfig

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestFromJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		kind      bson.Type
		canonical string
	}{
		`1`:                   {bson.TypeInt32, `{"$numberInt":"1"}`},
		` 3000000000 `:        {bson.TypeInt64, `{"$numberLong":"3000000000"}`},
		`9007199254740993`:    {bson.TypeInt64, `{"$numberLong":"9007199254740993"}`},
		`9223372036854775807`: {bson.TypeInt64, `{"$numberLong":"9223372036854775807"}`},
		`1.0`:                 {bson.TypeDouble, `{"$numberDouble":"1.0"}`},
		`null`:                {bson.TypeNull, `null`},
		`"text\n"`:            {bson.TypeString, `"text\n"`},
		`[1,[]]`:              {bson.TypeArray, `[{"$numberInt":"1"},[]]`},
		`{"a":{"$numberLong":"5"},"b.c":{"$set":true}}`: {
			bson.TypeEmbeddedDocument, `{"a":{"$numberLong":"5"},"b.c":{"$set":true}}`,
		},
		`{"$date":"2026-01-02T00:00:00Z"}`: {bson.TypeDateTime, `{"$date":{"$numberLong":"1767312000000"}}`},
		`{"v":1}`:                          {bson.TypeEmbeddedDocument, `{"v":{"$numberInt":"1"}}`},
	} {
		got, err := FromJSON([]byte(in))
		if err != nil {
			t.Errorf("FromJSON(%s): %v", in, err)
			continue
		}
		out := must(Config{Value: got}.CanonicalJSON())(t)
		if got.Type != want.kind || string(out) != want.canonical {
			t.Errorf("FromJSON(%s) = %s %s, want %s %s", in, got.Type, out, want.kind, want.canonical)
		}
	}
}

func TestFromJSONRefusesWhatItWouldChange(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``:                                "it ends too early",
		`{"a":`:                           "it ends too early",
		`{"a":1`:                          "it ends too early",
		`{a:1}`:                           "near byte",
		`1 2`:                             "more than one JSON value",
		`1, "x": 2`:                       "more than one JSON value",
		`1}`:                              "more than one JSON value",
		`{"a":{"b":9223372036854775808}}`: "a.b: 9223372036854775808 is beyond 64 bits",
		`[0,-1234567890123456789012]`:     "[1]: -1234567890123456789012 is beyond",
		`1e999`:                           "beyond a double",
		`{"x":{"a":1,"a":2}}`:             "x.a is there twice",
		"\"\xff\"":                        "UTF-8",
		`{"a\u0000b":1}`:                  "null character",
		`{"$oid":"zz"}`:                   "Extended JSON",
		`NaN`:                             "near byte",
		strings.Repeat("[", 200) + strings.Repeat("]", 200): "nested deeper",
	} {
		_, err := FromJSON([]byte(in))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("FromJSON(%.40s): %v, want %q", in, err, want)
		}
	}
}

func FuzzFromJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[1.5,"x",null,true],"c":{"$numberLong":"5"}}`, `9007199254740993`, `{"$date":"2026-01-02T00:00:00Z"}`,
		`{"$binary":{"base64":"AA==","subType":"04"}}`, `1e400`, `"\ud800"`, `{"":{"$oid":"0123456789abcdef01234567"}}`, `-0`, `{"$code":"x","$scope":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := FromJSON(data)
		if err != nil {
			return
		}
		if err := value.Validate(); err != nil {
			t.Fatalf("%q became invalid BSON: %v", data, err)
		}
		if _, err := (Config{Value: value}).JSON(); err != nil {
			t.Fatalf("%q can't be shown: %v", data, err)
		}
		text, err := Config{Value: value}.CanonicalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := FromJSON(text)
		if err != nil || !again.Equal(value) {
			t.Fatalf("%q became %s, and that %v, %v", data, text, again, err)
		}
	})
}
