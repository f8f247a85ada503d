package params

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// strict has every rule that a schema can express in full.
type strict struct {
	Name     string  `required:"true" minLength:"2" maxLength:"5"`
	Code     string  `pattern:"^[a-z]+$"`
	Mail     string  `format:"email" pattern:"^a"`
	Owner    string  `format:"objectid"`
	Pace     pace    `default:"slow"`
	Hue      *colour `help:"Which one."`
	Force    bool
	Tri      *bool
	Batch    int    `min:"1" max:"1000" default:"500"`
	Small    int8   `min:"-5"`
	Big      int64  `max:"9007199254740993"`
	Port     uint16 `default:"27017"`
	Huge     uint64
	Any      int64
	Odd      *int    `enum:"1,3,5"`
	Ratio    float64 `min:"0" max:"1"`
	Half     *float32
	Every    time.Duration
	ID       bson.ObjectID
	Key      *bson.Binary
	Tags     []string       `minItems:"1" maxItems:"3" unique:"true" maxLength:"4"`
	Sizes    map[string]int `maxItems:"2" min:"0"`
	Steps    []strictStep   `minItems:"1"`
	Password Secret
	Source   struct {
		Coll  string `required:"true"`
		Limit *int   `min:"1"`
	}
	Target *struct {
		DB   string `required:"true"`
		Coll string
	}
}

type strictStep struct {
	Coll   string `required:"true"`
	Weight int    `default:"1" min:"0"`
}

const strictDocument = `{"name":"abc","code":"x","mail":"a@b","owner":"0123456789abcdef01234567","pace":"fast","hue":"red",
	"force":true,"tri":false,"batch":7,"small":-5,"big":5,"port":1,"huge":1,"any":1,"odd":3,"ratio":0.5,"half":1.5,
	"every":"90s","id":"0123456789abcdef01234567","key":"123e4567-e89b-12d3-a456-426614174000","tags":["a","b"],
	"sizes":{"x":1},"steps":[{"coll":"c","weight":2}],"password":"hunter2","source":{"coll":"users","limit":3},
	"target":{"db":"x","coll":"y"}}`

// mutants are what takes the place of a value, somewhere in a document.
var mutants = []string{
	`null`, `true`, `""`, `"a"`, `"abcdef"`, `"ABC"`, `"fast"`, `"r"`, `"green"`, `"a@b"`, `"a@"`, `0`, `1`, `-1`, `-6`, `3`, `5`, `4`, `1001`,
	`-129`, `65536`, `0.5`, `1.5`, `5.0`, `1e2`, `1e39`, `"5"`, `"05"`, `"-5"`, `"+5"`, `"1e2"`, `" 5"`, `9007199254740993`,
	`"9007199254740993"`, `"9007199254740994"`, `9223372036854775807`, `"9223372036854775807"`, `9223372036854775808`,
	`"9223372036854775808"`, `"-9223372036854775808"`, `"18446744073709551615"`, `"18446744073709551616"`, `[]`, `{}`,
	`["a"]`, `["a","a"]`, `["a","b","c","d"]`, `["abcde"]`, `[null]`, `[1]`, `{"x":-1}`, `{"x":"5"}`, `{"x":1,"y":2,"z":3}`, `{"x":null}`,
	`[{}]`, `[{"coll":"c"}]`, `[{"coll":"c","weight":-1}]`, `[{"coll":"c","more":1}]`, `[{"coll":null}]`,
	`{"coll":"x"}`, `{"coll":"x","limit":0}`, `{"coll":"x","limit":null}`, `{"db":"x"}`, `{"db":"x","nope":1}`,
	`"90s"`, `"1h30m"`, `"2d"`, `"1.5d"`, `".5s"`, `"5."`, `"90"`, `"90 s"`, `"soon"`, `60000`, `9223372036854`, `9223372036855`, `"***"`,
	`"0123456789abcdef01234567"`, `"0123456789ABCDEF0123456g"`, `"123e4567-e89b-12d3-a456-426614174000"`, `"123e4567e89b12d3a456426614174000"`,
}

func TestSchemaAcceptsWhatFillAccepts(t *testing.T) {
	t.Parallel()
	s, err := Of(&strict{})
	if err != nil {
		t.Fatal(err)
	}
	oracle := resolve(t, s.Schema())
	g := newGenerator(t)
	accepted, refused := 0, 0
	for range 4000 {
		doc := g.mutate(t, strictDocument, mutants)
		l, err := s.FromJSON(doc, OriginAPI)
		var v strict
		err = Join(err, s.Fill(&v, l))
		schemaErr := oracle.Validate(plainJSON(t, doc))
		if (err == nil) != (schemaErr == nil) {
			t.Fatalf("%s\nparams: %v\nschema: %v", doc, err, schemaErr)
		}
		if err == nil {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 400 || refused < 400 {
		t.Errorf("the mutants prove little: %d accepted, %d refused", accepted, refused)
	}
}

// For the types whose text has meaning beyond a pattern, the schema must not refuse what is right.
func TestSchemaAcceptsEveryValue(t *testing.T) {
	t.Parallel()
	g := newGenerator(t)
	for range 60 {
		prototype := everything{}
		if g.IntN(2) == 0 {
			prototype = g.everything()
		}
		s, err := Of(&prototype)
		if err != nil {
			t.Fatal(err)
		}
		v := g.everything()
		if v.Kind == "" {
			v.Kind = "fast"
		}
		doc, err := s.JSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolve(t, s.Schema()).Validate(plainJSON(t, doc)); err != nil {
			t.Fatalf("%s\n%v", doc, err)
		}
	}
}

func TestSchemaIsAsPublished(t *testing.T) {
	t.Parallel()
	s, err := Of(&strict{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(s.Schema(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", string(got)+"\n")
}

func resolve(t *testing.T, s *jsonschema.Schema) *jsonschema.Resolved {
	t.Helper()
	// Through its text, as everybody else gets it.
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var published jsonschema.Schema
	if err := json.Unmarshal(b, &published); err != nil {
		t.Fatal(err)
	}
	r, err := published.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return r
}

// plainJSON decodes a document for the validator, which knows no json.Number, with every digit of the integers.
func plainJSON(t *testing.T, doc []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return denumber(v)
}

func denumber(v any) any {
	switch x := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(string(x), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(string(x), 10, 64); err == nil {
			return u
		}
		f, _ := x.Float64()
		return f
	case []any:
		for i := range x {
			x[i] = denumber(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = denumber(x[k])
		}
	}
	return v
}

// mutate changes some places of a document.
func (g generator) mutate(t *testing.T, doc string, mutants []string) []byte {
	t.Helper()
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(doc)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	for range 1 + g.IntN(2) {
		g.mutateObject(v, mutants)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (g generator) mutateObject(m map[string]any, mutants []string) {
	keys := sortedKeys(m)
	if len(keys) == 0 || g.IntN(40) == 0 {
		m["extra"] = true
		return
	}
	key := pick(g, keys)
	if sub, ok := m[key].(map[string]any); ok && g.IntN(2) == 0 {
		g.mutateObject(sub, mutants)
		return
	}
	if g.IntN(10) == 0 {
		delete(m, key)
		return
	}
	m[key] = json.RawMessage(pick(g, mutants))
}

// golden compares with a file in testdata; UPDATE_GOLDEN=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), UPDATE_GOLDEN=1 accepts it:\n%s", path, diff)
	}
}
