package params

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// LowercaseEmails is a script as an author writes it.
type LowercaseEmails struct {
	BatchSize int      `default:"500" min:"1" max:"1000" help:"Documents per batch."`
	Force     bool     `short:"f"`
	Email     string   `format:"email" maxLength:"20"`
	Code      string   `pattern:"^[a-z]+$" minLength:"2"`
	Pace      pace     `default:"fast"`
	Hue       colour   `short:"u"`
	Small     int8     `short:"s"`
	Ratio     float32  `min:"0"`
	Every     duration `min:"1s"`
	source
	Tags     []string `maxItems:"2" unique:"true" enum:"a,b,c"`
	Limits   []int
	Labels   map[string]int `minItems:"2"`
	Filter   string         `format:"mongo-filter"`
	Doc      string         `format:"json"`
	Opt      *source
	Pass     Secret   `env:"MAIL_PASS"`
	Keys     []Secret `params:"api-keys"`
	PIN      int      `secret:"true" max:"9999"`
	Steps    []step
	Place    struct{ City string }
	Since    when
	Name     *string
	Vault    *struct{ Token Secret }
	Excluded chan int `params:"-"`
}

func spec(t *testing.T) *Spec {
	t.Helper()
	s, err := Of(&LowercaseEmails{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fill(s *Spec, layers ...Layer) error {
	return s.Fill(newOf(s), layers...)
}

func TestProblemsOfACommandLine(t *testing.T) {
	t.Parallel()
	open := func(name string) (io.ReadCloser, error) {
		switch name {
		case "bad.json":
			return io.NopCloser(strings.NewReader(`{"batchSize": 0, "nope": 1, "pass": "hunter2"}`)), nil
		case "broken":
			return io.NopCloser(iotest.ErrReader(errors.New("disk on fire"))), nil
		}
		return nil, errors.New("no such file")
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"Nothing", nil, ""},
		{"UnknownFlag", []string{"--batchsize=5"}, "unknown flag --batchsize for lowercase-emails. Did you mean --batch-size?"},
		{"UnknownFlagKeepsItsValueToItself", []string{"--pas", "hunter2"}, "unknown flag --pas for lowercase-emails. Did you mean --pass?"},
		{"UnknownNegation", []string{"--no-forse"}, "unknown flag --no-forse for lowercase-emails. Did you mean --no-force?"},
		{"UnknownWithoutANeighbour", []string{"--zzzzzz"}, "unknown flag --zzzzzz for lowercase-emails"},
		{"UnknownShort", []string{"-x"}, "unknown flag -x for lowercase-emails"},
		{"UnknownNested", []string{"--opt.col=x"}, "unknown flag --opt.col for lowercase-emails. Did you mean --opt.coll?"},
		{"UnknownWithControlCharacters", []string{"--a\x1b[31m"}, `unknown flag --"a\x1b[31m" for lowercase-emails`},
		{"BelowMinimum", []string{"--batch-size=0"}, "--batch-size: 0 is below the minimum 1"},
		{"AboveMaximum", []string{"--batchSize", "10k"}, "--batch-size: 10000 is above the maximum 1000"},
		{"NotANumber", []string{"--batch-size=lots"}, `--batch-size: "lots" is not a whole number such as 500, 10k or 1_000_000`},
		{"NotWhole", []string{"--batch-size=1.5"}, `--batch-size: "1.5" is not a whole number such as 500, 10k or 1_000_000`},
		{"MisplacedUnderscore", []string{"--batch-size=_5"}, `--batch-size: "_5" is not a whole number such as 500, 10k or 1_000_000`},
		{"Overflow", []string{"--small=300"}, `--small: "300" does not fit: the range is -128 to 127`},
		{"HugeExponent", []string{"--small=1e999999999"}, `--small: "1e999999999" is not a whole number such as 500, 10k or 1_000_000`},
		{"FloatOverflow", []string{"--ratio=1e39"}, `--ratio: "1e39" is not a number that fits float32`},
		{"NotAFloat", []string{"--ratio=NaN"}, `--ratio: "NaN" is not a number such as 0.5 or 10k`},
		{"NotABool", []string{"--force=maybe"}, `--force: "maybe" is not true or false`},
		{"NegationWithValue", []string{"--no-force=true"}, "--no-force: takes no value"},
		{"NoValue", []string{"--email"}, "--email: needs a value: --email=EMAIL"},
		{"FlagInsteadOfValue", []string{"--email", "--force"}, "--email: needs a value: --email=EMAIL"},
		{"ShortFlagInsteadOfValue", []string{"--email", "-f"}, "--email: needs a value: --email=EMAIL"},
		{"Twice", []string{"--email=a@b", "--email=c@d"}, "--email: is given twice"},
		{"TwiceInTwoSpellings", []string{"--batch-size=1", "--batchSize=2"}, "--batch-size: is given twice"},
		{"TwiceByNegation", []string{"-f", "--no-force"}, "--force: is given twice"},
		{"TwiceByJSON", []string{"--opt.coll=x", `--opt={"coll":"y"}`}, "--opt.coll: is given twice"},
		{"BadFormat", []string{"--email=nobody"}, `--email: "nobody" is not an e-mail address`},
		{"TooLong", []string{"--email=a@bbbbbbbbbbbbbbbbbbbb"}, `--email: "a@bbbbbbbbbbbbbbbbbbbb" has 22 characters; the most is 20`},
		{"TooShort", []string{"--code=a"}, `--code: "a" has 1 character; the least is 2`},
		{"BadPattern", []string{"--code=A1"}, `--code: "A1" does not match the pattern ^[a-z]+$`},
		{"NotInEnum", []string{"--pace=fsat"}, `--pace: "fsat" is not one of fast, slow, off. Did you mean fast?`},
		{"TextRefused", []string{"-u", "blue"}, `--hue: "blue" is not one of red, green`},
		{"ItemNotInEnum", []string{"--tags=a,x"}, `--tags[1]: "x" is not one of a, b, c`},
		{"TooManyItems", []string{"--tags=a,b,c"}, "--tags: has 3 items; the most is 2"},
		{"TooFewItems", []string{"--labels=a=1"}, "--labels: has 1 item; the least is 2"},
		{"SameItems", []string{"--tags=a", "--tags=a"}, "--tags: items 1 and 2 are the same"},
		{"SameKeys", []string{"--labels=a=1", "--labels=a=2"}, "--labels[a]: is given twice\n--labels: has 1 item; the least is 2"},
		{"NoKey", []string{"--labels=a"}, `--labels: "a" is neither key=value nor a JSON object`},
		{"BadMapValue", []string{"--labels=a=x", "--labels=b=1"}, `--labels[a]: "x" is not a whole number such as 500, 10k or 1_000_000`},
		{"BadListJSON", []string{"--limits=[1,"}, "--limits: not valid JSON: it ends too early"},
		{"ObjectForAList", []string{`--tags={"a":1}`}, `--tags[0]: "{\"a\":1}" is not one of a, b, c`},
		{"NestedJSON", []string{"--limits=[[1]]"}, "--limits[0]: a list is not a whole number"},
		{"NullItem", []string{"--limits=[null]"}, "--limits[0]: null is no value here; leave it out"},
		{"StructNeedsJSON", []string{"--opt=users"}, "--opt: not valid JSON: invalid character 'u' looking for beginning of value at byte 0"},
		{"StructIsNoList", []string{"--opt=[]"}, `--opt: "[]" is not an object`},
		{"MemberUnknown", []string{`--opt={"col":"x"}`}, "--opt.col: unknown parameter. Did you mean --opt.coll?"},
		{"ItemMemberMissing", []string{`--steps={"weight":10}`}, "--steps[0].coll: is required\n--steps[0].weight: 10 is above the maximum 9"},
		{"ItemMemberUnknown", []string{`--steps=[{"coll":"x","wait":1}]`}, "--steps[0].wait: unknown parameter"},
		{"BadFilter", []string{"--filter=[1]"}, `--filter: "[1]" is not a MongoDB filter such as {"status": "new"}: it is no object`},
		{"FilterCutOff", []string{`--filter={"a":1`}, `--filter: "{\"a\":1" is not a MongoDB filter such as {"status": "new"}: it ends too early`},
		{"FilterSyntax", []string{`--filter={a: 1}`}, `--filter: "{a: 1}" is not a MongoDB filter such as {"status": "new"}: ` +
			`invalid character 'a' looking for beginning of object key string at byte 1`},
		{"FilterTwice", []string{`--filter={} {}`}, `--filter: "{} {}" is not a MongoDB filter such as {"status": "new"}: ` +
			`invalid character '{' after top-level value at byte 3`},
		{"FilterValue", []string{`--filter={"_id":{"$oid":"zz"}}`}, `--filter: "{\"_id\":{\"$oid\":\"zz\"}}" is not a MongoDB filter such as {"status": "new"}: ` +
			`the provided hex string is not a valid ObjectID`},
		{"BadDocument", []string{"--doc={"}, `--doc: "{" is not valid JSON: it ends too early`},
		{"BadDuration", []string{"--every=soon"}, `--every: "soon" is not a duration such as 90s, 1h30m, 2d or 60000 (milliseconds)`},
		{"ShortDuration", []string{"--every=10"}, "--every: 10ms is below the minimum 1s"},
		{"BadTime", []string{"--since=-7"}, `--since: "-7" is not a time such as 2026-01-02, 2026-01-02T15:04:05Z, now or -7d`},
		{"ImpossibleDate", []string{"--since=2026-02-30"}, `--since: "2026-02-30" is not a time such as 2026-01-02, 2026-01-02T15:04:05Z, now or -7d`},
		{"InvalidUTF8", []string{"--email=a\xff@b"}, `--email: "a\xff@b" is not valid UTF-8`},
		{"NUL", []string{"--email=a\x00@b"}, `--email: "a\x00@b" contains a NUL byte`},
		{"ControlCharacters", []string{"--pace=\x1b[31m"}, `--pace: "\x1b[31m" is not one of fast, slow, off`},
		{"LongValueIsCut", []string{"--pace=" + strings.Repeat("x", 200)}, `--pace: "` + strings.Repeat("x", 80) + `…" is not one of fast, slow, off`},
		{"PasswordInURI", []string{"--email=mongodb://u:hunter2@h/"}, `--email: "mongodb://***@h/" has 22 characters; the most is 20`},
		{"FileMissing", []string{"--limits=@gone"}, "--limits: cannot be read: no such file"},
		{"FileBroken", []string{"--limits=@broken"}, "--limits: cannot be read: disk on fire"},
		{"StdinTwice", []string{"--limits=-", "--tags=-"}, "--tags: standard input is read by another flag already"},
		{"Secret", []string{"--pass=hunter2"}, "--pass: " + onCommandLine + "give it by the environment variable MAIL_PASS, by a file (--config=@FILE) or at the prompt"},
		{"SecretInTwoWords", []string{"--pass", "hunter2"}, "--pass: " + onCommandLine + "give it by the environment variable MAIL_PASS, by a file (--config=@FILE) or at the prompt"},
		{"SecretList", []string{"--api-keys=hunter2"}, "--api-keys: " + onCommandLine + "give it by an environment variable, by a file (--config=@FILE) or at the prompt"},
		{"SecretWithinJSON", []string{`--vault={"token":"hunter2"}`}, "--vault.token: " + onCommandLine + "give it by an environment variable, by a file (--config=@FILE) or at the prompt"},
		{"SecretInInlineConfig", []string{`--config={"pin":"hunter2"}`}, "--pin: " + onCommandLine + "give it by an environment variable, by a file (--config=@FILE) or at the prompt"},
		{"ConfigFile", []string{"--config=@bad.json"}, "nope (file): unknown parameter\nbatch-size (file): 0 is below the minimum 1"},
		{"ConfigMissing", []string{"--config"}, "--config: needs a value: --config='{…}' or --config=@FILE"},
		{"ConfigPath", []string{"--config=bad.json"}, "--config: is neither a JSON object nor a file; a file is written with an @: --config=@FILE"},
		{"ConfigTwice", []string{"--config={}", "--config={}"}, "--config: is given twice"},
		{"ConfigBroken", []string{"--config={\"a\":}"}, "not valid JSON: invalid character '}' looking for beginning of value at byte 5"},
		{"ConfigDouble", []string{`--config={"email":"a@b","email":"c@d"}`}, "email (file): is given twice"},
		{
			"EverythingAtOnce",
			[]string{"--batchsize=5", "--batch-size=0", "--pace=fsat", "--email"},
			"unknown flag --batchsize for lowercase-emails. Did you mean --batch-size?\n--email: needs a value: --email=EMAIL\n" +
				"--batch-size: 0 is below the minimum 1\n" + `--pace: "fsat" is not one of fast, slow, off. Did you mean fast?`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := spec(t)
			p, err := Parser{Specs: []*Spec{s}, Open: open, Stdin: strings.NewReader("")}.Parse(tc.args)
			err = Join(err, fill(s, p.Flags[0], p.File[0]))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if err != nil && strings.Contains(errorDump(err), "hunter2") {
				t.Errorf("a secret shows: %s", errorDump(err))
			}
		})
	}
}

func TestProblemsOfJSON(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, json, want string }{
		{"NoObject", `[]`, `the parameters must be a JSON object such as {"name": "value"}`},
		{"Nothing", ``, `not valid JSON: it ends too early`},
		{"Trailing", `{} {}`, `not valid JSON: there is something after its end`},
		{"Unknown", `{"batchsize":1}`, "batchsize: unknown parameter. Did you mean batch-size?"},
		{"TwoSpellings", `{"batch-size":1,"BatchSize":2}`, "batch-size: is given twice"},
		{"NestedAndDotted", `{"opt":{"coll":"a"},"opt.coll":"b"}`, "opt.coll: is given twice"},
		{"DoubleNested", `{"opt":{"coll":"a","coll":"b"}}`, "opt.coll: is given twice"},
		{"Null", `{"email":null}`, "email: null is no value here; leave it out"},
		{"NullStruct", `{"place":null}`, "place: null is not an object"},
		{"Human", `{"batch-size":"10k"}`, `batch-size: "10k" is not a whole number such as 500, 10k or 1_000_000`},
		{"Overflow", `{"limits":[9223372036854775808]}`, "limits[0]: 9223372036854775808 does not fit: the range is -9223372036854775808 to 9223372036854775807"},
		{"StringForList", `{"tags":"a,b"}`, `tags: "a,b" is not a list`},
		{"NumberForString", `{"email":5}`, "email: 5 is not a string"},
		{"StringForBool", `{"force":"true"}`, `force: "true" is not true or false`},
		{"AbbreviationOfText", `{"hue":"r"}`, `hue: "r" is not one of red, green`},
		{"ObjectForString", `{"email":{}}`, "email: an object is not a string"},
		{"InvalidUTF8", "{\"opt\":{\"coll\":\"a\xff\"}}", "opt.coll: is not valid UTF-8"},
		{"InvalidUTF8InAList", "{\"tags\":[\"a\",\"\xff\"]}", "tags[1]: is not valid UTF-8\ntags[1]: \"\ufffd\" is not one of a, b, c"},
		{"HalfACharacter", `{"email":"\ud83d"}`, "not valid JSON: the escape at byte 10 is half a character"},
		{"NUL", `{"email":"\u0000"}`, `email: "\x00" contains a NUL byte`},
		{"NULInAKey", `{"labels":{"\u0000":1,"b":2}}`, "labels[\x00]: \"\\x00\" contains a NUL byte"},
		{"Deep", strings.Repeat(`{"opt":`, 70), "not valid JSON: it nests deeper than 64 levels"},
		{"MaskedSecret", `{"pass":"***"}`, "pass: is masked, so the secret itself is not known here; give it again"},
		{"BadSecret", `{"pin":"hunter2"}`, "pin: *** is not a whole number such as 500, 10k or 1_000_000"},
		{"SecretOutOfBounds", `{"pin":12345}`, "pin: *** is above the maximum 9999"},
		{"HugeValue", `{"email":"` + strings.Repeat("x", MaxValue+1) + `"}`, "email: has 1.0 MiB; one value may have 1.0 MiB"},
		{"HugeDocument", `{"email":"` + strings.Repeat("x", MaxTotal) + `"}`, "the JSON has 16.0 MiB; the most is 16.0 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := spec(t)
			l, err := s.FromJSON([]byte(tc.json), OriginAPI)
			err = Join(err, fill(s, l))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if strings.Contains(errorDump(err), "hunter2") {
				t.Errorf("a secret shows: %s", errorDump(err))
			}
		})
	}
}

func TestProblemsOfAForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, form, want string }{
		{"BlankNumber", "batch-size=", "batch-size: must not be blank; it is a whole number"},
		{"Unknown", "batch=1", "batch: unknown parameter. Did you mean batch-size?"},
		{"UnknownSuffix", "tags:xml=1", "tags:xml: unknown parameter"},
		{"Twice", "email=a@b&email=c@d", "email: is given twice"},
		{"TwiceAsJSON", `email=a@b&email:json="c@d"`, "email: is given twice"},
		{"SameKey", "labels=a=1&labels=a=2", "labels: [a] is given twice"},
		{"Struct", "opt=x", "opt: has fields of its own; send these, or opt:json"},
		{"BadJSON", "tags:json=[", "tags: not valid JSON: it ends too early"},
		{"Range", "batch-size=0&hue=red", "batch-size: 0 is below the minimum 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := spec(t)
			form, err := url.ParseQuery(tc.form)
			if err != nil {
				t.Fatal(err)
			}
			l, err := s.FromForm(form)
			err = Join(err, fill(s, l))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestProblemsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	s := spec(t)
	env := map[string]string{
		"APP_BATCH_SIZE": "0", "MAIL_PASS": "hunter2", "APP_TAGS": "[", "APP_OPT_COLL": " ", "APP_PLACE_CITY": "Bonn", "APP_PIN": "hunter2",
		"EMAIL": "nobody",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	l := s.FromEnv(lookup, "APP_")
	err := fill(s, l)
	want := "APP_BATCH_SIZE: 0 is below the minimum 1\nAPP_TAGS: not valid JSON: it ends too early\n" +
		"APP_PIN: *** is not a whole number such as 500, 10k or 1_000_000"
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !l.Has("pass") || l.Has("opt") || !l.Has("place") || l.Has("email") {
		t.Errorf("has: pass %v, opt %v, place %v, email %v", l.Has("pass"), l.Has("opt"), l.Has("place"), l.Has("email"))
	}
	if s.FromEnv(lookup, "").Has("email") {
		t.Error("without a prefix EMAIL was taken")
	}
}

// span has a rule that no tag can say.
type span struct {
	From, To int
	err      error
}

func (s *span) CheckParams() error {
	if s.To < s.From {
		return &Error{Problems: []Problem{{Field: "to", Message: "is before --from"}}}
	}
	return s.err
}

func TestACheckerHasTheLastWord(t *testing.T) {
	t.Parallel()
	spec, err := Of(&span{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := spec.FromMap(map[string]any{"from": 3, "to": 2}, OriginFile)
	if err != nil {
		t.Fatal(err)
	}
	other := &span{err: errors.New("it is what it is")}
	for name, test := range map[string]struct {
		dst    *span
		layers []Layer
		args   []string
		want   string
	}{
		"Right":      {dst: &span{From: 1, To: 2}},
		"Flag":       {dst: &span{}, args: []string{"--from=3", "--to=2"}, want: "--to: is before --from"},
		"File":       {dst: &span{}, layers: []Layer{file}, want: "to (file): is before --from"},
		"NotGiven":   {dst: &span{}, args: []string{"--from=3"}, want: "--to: is before --from"},
		"WrongItems": {dst: other, args: []string{"--from=x"}, want: "--from: \"x\" is not a whole number such as 500, 10k or 1_000_000"},
		"OtherError": {dst: other, want: "it is what it is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst, layers := *test.dst, test.layers
			if test.args != nil {
				parsed, err := ParseArgs(test.args, spec)
				if err != nil {
					t.Fatal(err)
				}
				layers = append(layers, parsed.Flags[0])
			}
			got := ""
			if err := spec.Fill(&dst, layers...); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
