package params

import (
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type loop struct{ Next []loop }

type mute struct{ A int }

func (*mute) UnmarshalText([]byte) error { return nil }

type numbers int

func (numbers) Values() []string { return []string{"1"} }

type hollow string

func (hollow) Values() []string { return nil }

func TestOfReportsEveryMistake(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		v    any
		want []string
	}{
		{"Nil", nil, []string{"params: want a pointer to a struct, got <nil>"}},
		{"Struct", struct{}{}, []string{"params: want a pointer to a struct, got struct {}"}},
		{"Unsupported", &struct {
			C   chan int
			F   func()
			I   any
			PP  **int
			PL  *[]int
			B   []byte
			M   map[int]int
			E   struct{}
			L   []*int
			Z   complex128
			Mu  sync.Mutex
			Arr [2]int
		}{}, []string{
			"C: no parameter can have the type chan int; leave the field out with params:\"-\"", "F: ", "I: ", "PP: ", "PL: ", "B: ", "M: ",
			"E: ", "L[]: ", "Z: ", "Mu: ", "Arr: ",
		}},
		{"Recursive", &loop{}, []string{"Next[]: the type params.loop contains itself"}},
		{"TextWithoutWriter", &struct{ M mute }{}, []string{"M: params.mute has UnmarshalText but neither MarshalText nor String"}},
		{"ValuesOfNumbers", &struct{ N numbers }{}, []string{"N: params.numbers has Values() but is no string"}},
		{"NoValues", &struct{ N hollow }{}, []string{"N: Values() of params.hollow is empty"}},
		{"Names", &struct {
			BatchSize int
			Other     int `params:"batch-size"`
			Bad       int `params:"Bad Name"`
		}{}, []string{`Other: may be written "batch-size", but so may BatchSize`, `Bad: the name "Bad Name" must be`}},
		{"NamesOfEnvironment", &struct {
			A  struct{ C int }
			AC int `params:"a-c"`
		}{}, []string{"a.c and a-c share the environment variable …A_C"}},
		{"Negation", &struct {
			Force   bool
			NoForce bool
		}{}, []string{"--no-force could mean NoForce or the opposite of Force"}},
		{"Contradictions", &struct {
			A int    `required:"true" default:"1"`
			B *int   `default:"1"`
			C int    `default:"x"`
			D int    `default:"0" min:"1"`
			E int    `min:"5" max:"1"`
			F string `minLength:"5" maxLength:"1"`
			G string `pattern:"("`
			H string `format:"nope"`
			I bool   `min:"1"`
			J int    `pattern:"x"`
			K Secret `default:"x"`
			L int    `unique:"true"`
			M int    `required:"maybe"`
			N int    `minItems:"1"`
			O []int  `minItems:"-1"`
			P struct {
				X int
			} `default:"x"`
			Q float64 `enum:"1,2"`
			R int     `enum:"x"`
			S int     `short:"nn"`
			T string  `enum:"a,b" default:"c"`
			U []int   `default:"1,2" maxItems:"1"`
			V int8    `max:"1000"`
		}{}, []string{
			"A: is required and has a default", "B: is a pointer and has a default", `C: default: "x" is not a whole number`,
			"D: default: 0 is below the minimum 1", "E: min 5 is above max 1", "F: minLength 5 is above maxLength 1", "G: pattern: error parsing",
			`H: format:"nope" is unknown; known are email, json`, "I: the tag min has no meaning for bool", "J: the tag pattern has no meaning for int",
			"K: is a secret and must not have a default", "L: unique is for lists", `M: required:"maybe" must be true or false`,
			"N: the tag minItems has no meaning for int", `O: minItems:"-1" must be`, "P: the tag default has no meaning for a struct",
			"Q: enum is for strings and whole numbers", `R: enum: "x" is not a whole number`, `S: short:"nn" must be`,
			`T: default: "c" is not one of a, b`, "U: default: has 2 items; the most is 1", `V: max: "1000" does not fit`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Of(tc.v)
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tc.want) {
				t.Errorf("%d problems, want %d:\n%s", len(lines), len(tc.want), err)
			}
			for i, want := range tc.want {
				if i < len(lines) && !strings.Contains(lines[i], want) {
					t.Errorf("problem %d is %q, want %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestLeftOutAndEmbeddedFields(t *testing.T) {
	t.Parallel()
	type script struct {
		common
		sync.Mutex
		hidden int
		Skip   chan int `params:"-"`
		Size   big.Int
		Where  struct{ City string } `params:"place"`
	}
	v := script{hidden: 1}
	s, err := Of(&v)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.Fields() {
		got = append(got, f.Path)
	}
	if diff := cmp.Diff([]string{"shared", "shared-id", "size", "place.city"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	p, err := ParseArgs([]string{"--shared=x", "--size=99999999999999999999", "--place.city=Bonn"}, s)
	if err = Join(err, s.Fill(&v, p.Flags...)); err != nil {
		t.Fatal(err)
	}
	if v.Shared != "x" || v.Size.String() != "99999999999999999999" || v.Where.City != "Bonn" || v.hidden != 1 {
		t.Errorf("%+v", &v)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	type script struct {
		A, B, C, D, E, F int `default:"9"`
		G                int
	}
	v := script{E: 5}
	s, err := Of(&v)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParseArgs([]string{"--a=1", `--config={"a":3,"b":3,"c":3,"f":0}`}, s)
	if err != nil {
		t.Fatal(err)
	}
	env := s.FromEnv(func(name string) (string, bool) { return "2", name == "X_A" || name == "X_B" }, "X_")
	layers := []Layer{p.Flags[0], env, p.File[0]}
	if err := s.Fill(&v, layers...); err != nil {
		t.Fatal(err)
	}
	if want := (script{A: 1, B: 2, C: 3, D: 9, E: 5, F: 0}); v != want {
		t.Errorf("got %+v, want %+v", v, want)
	}
	want := map[string]Origin{
		"a": OriginFlag, "b": OriginEnv, "c": OriginFile, "d": OriginDefault, "e": OriginDefault, "f": OriginFile, "g": OriginDefault,
	}
	if diff := cmp.Diff(want, s.Origins(layers...)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRelativeTimesCountFromOneMoment(t *testing.T) {
	t.Parallel()
	type window struct {
		From time.Time `default:"-7d"`
		To   time.Time `default:"now"`
		Next time.Time `min:"now"`
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 5, time.FixedZone("X", 3600))
	s, err := Of(&window{})
	if err != nil {
		t.Fatal(err)
	}
	s = s.Clock(func() time.Time { return now })
	p, err := ParseArgs([]string{"--next", "-1h30m"}, s)
	if err != nil {
		t.Fatal(err)
	}
	var v window
	err = s.Fill(&v, p.Flags...)
	if err == nil || err.Error() != "--next: 2026-03-01T09:30:00.000000005Z is below the minimum now" {
		t.Errorf("got %v", err)
	}
	if !v.From.Equal(now.AddDate(0, 0, -7)) || !v.To.Equal(now) || v.To.Location() != time.UTC {
		t.Errorf("%v to %v", v.From, v.To)
	}
}

func TestFillSharesNothingWithThePrototype(t *testing.T) {
	t.Parallel()
	limit := 5
	prototype := everything{
		Tags: []string{"a"}, Labels: map[string]string{"a": "b"}, Target: &source{Coll: "x", Limit: &limit}, MaybeInt: new(int64(1)),
		Pace: "off", Dozen: 24,
	}
	s, err := Of(&prototype)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParseArgs([]string{"--target.deep.note=changed"}, s)
	if err != nil {
		t.Fatal(err)
	}
	v := prototype
	if err := s.Fill(&v, p.Flags...); err != nil {
		t.Fatal(err)
	}
	v.Tags[0], v.Labels["a"], *v.MaybeInt, *v.Target.Limit = "changed", "changed", 2, 6
	if prototype.Tags[0] != "a" || prototype.Labels["a"] != "b" || *prototype.MaybeInt != 1 || limit != 5 || prototype.Target.Deep.Note != "" {
		t.Errorf("the prototype changed: %+v", prototype)
	}
}

func TestSeveralSpecsShareOneCommandLine(t *testing.T) {
	t.Parallel()
	type run struct {
		Timeout time.Duration
		DryRun  bool
		Verbose bool `short:"v"`
	}
	type script struct {
		BatchSize int
		Force     bool
	}
	runSpec, err := Of(&run{})
	if err != nil {
		t.Fatal(err)
	}
	scriptSpec, err := Of(&script{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParseArgs([]string{
		"first", "--batchSize=500", "-v", "--dryRun=true", "--timeout", "60000", "--force", "second", `--config={"timeout":"1s","force":false}`, "--", "--x",
	}, runSpec, scriptSpec)
	if err != nil {
		t.Fatal(err)
	}
	var r run
	var sc script
	if err := Join(runSpec.Fill(&r, p.Flags[0], p.File[0]), scriptSpec.Fill(&sc, p.Flags[1], p.File[1])); err != nil {
		t.Fatal(err)
	}
	if want := (run{time.Minute, true, true}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if want := (script{500, true}); sc != want {
		t.Errorf("got %+v, want %+v", sc, want)
	}
	if diff := cmp.Diff([]string{"first", "second", "--x"}, p.Rest); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err = ParseArgs([]string{"--time-out=5", "--forse"}, runSpec, scriptSpec); err == nil || err.Error() !=
		"unknown flag --time-out for script. Did you mean --timeout?\nunknown flag --forse for script. Did you mean --force?" {
		t.Errorf("got %v", err)
	}
	if got := Clash(runSpec, scriptSpec); got != nil {
		t.Errorf("clash: %v", got)
	}
	if got := Clash(runSpec, runSpec); len(got) != 3 {
		t.Errorf("clash: %v", got)
	}
}

func TestListsFromFilesAndStdin(t *testing.T) {
	t.Parallel()
	type script struct {
		IDs   []int
		Names []string
		Steps []step
	}
	s, err := Of(&script{})
	if err != nil {
		t.Fatal(err)
	}
	p := Parser{Specs: []*Spec{s}, Open: openString("1\r\n\n 2 \n3k"), Stdin: strings.NewReader("{\"coll\":\"a\"}\n{\"coll\":\"b\"}\n")}
	parsed, err := p.Parse([]string{"--ids=@ids.txt", "--names=@@bob,alice", "--names", "carol", "--steps=-", `--steps={"coll":"c"}`})
	if err != nil {
		t.Fatal(err)
	}
	var got script
	if err := s.Fill(&got, parsed.Flags...); err != nil {
		t.Fatal(err)
	}
	want := script{[]int{1, 2, 3000}, []string{"@bob", "alice", "carol"}, []step{{Coll: "a", Weight: 1}, {Coll: "b", Weight: 1}, {Coll: "c", Weight: 1}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUsageIsAsPublished(t *testing.T) {
	t.Parallel()
	s, err := Of(&LowercaseEmails{Code: "abc", Limits: []int{1, 2}, Pass: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Usage()
	if strings.Contains(got, "hunter2") {
		t.Error("the secret shows")
	}
	golden(t, "usage.txt", got)
}

func TestDefaultsAreNotChangedByTheHelp(t *testing.T) {
	t.Parallel()
	s, err := Of(&LowercaseEmails{})
	if err != nil {
		t.Fatal(err)
	}
	f := s.Fields()[0]
	want := Field{Path: "batch-size", GoName: "BatchSize", Help: "Documents per batch.", Default: "500", Kind: Int, Elem: Int, Type: "int", Min: "1", Max: "1000"}
	f.node = nil
	if diff := cmp.Diff(want, f, cmp.AllowUnexported(Field{}, node{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
