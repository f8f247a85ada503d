package yamlfile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/params"
)

type item struct {
	Name  string `required:"true"`
	After []string
	Wait  time.Duration
}

type list struct {
	Title string
	Limit int `min:"1" default:"3"`
	Items []item
}

func fill(t *testing.T, text string) (list, error) {
	t.Helper()
	f, err := yamlfile.Parse("x.yaml", []byte(text))
	if err != nil {
		return list{}, err
	}
	var l list
	return l, errors.Join(f.Fill(&l, f.Map()))
}

func TestFillReadsWhatTheStructSays(t *testing.T) {
	t.Parallel()

	f, err := yamlfile.Parse("x.yaml", []byte("title: &t 2026-01-02\nitems:\n- name: *t\n  after: [b, c]\n  wait: 2d\n- {name: 'on'}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got list
	if err := f.Fill(&got, f.Map()); err != nil {
		t.Fatal(err)
	}
	want := list{Title: "2026-01-02", Limit: 3, Items: []item{
		{Name: "2026-01-02", After: []string{"b", "c"}, Wait: 48 * time.Hour}, {Name: "on"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsHaveLineAndCaret(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct{ text, want string }{
		"UnknownKeyWithNearest": {
			"title: x\nitms: []\n",
			"x.yaml:2:1: itms: unknown key. Did you mean items?\n" +
				"    2 | itms: []\n" +
				"      | ^^^^",
		},
		"UnknownKeyInAnItem": {
			"items:\n- name: a\n  aftr: [b]\n",
			"x.yaml:3:3: items[0].aftr: unknown key. Did you mean after?\n" +
				"    3 |   aftr: [b]\n" +
				"      |   ^^^^",
		},
		"UnknownKeyOfAWord": {
			"titel: x\n",
			"x.yaml:1:1: titel: unknown key. Did you mean title?\n    1 | titel: x\n      | ^^^^^",
		},
		"ValueOutOfRangeUnderTheValue": {
			"limit: 0 # none\n",
			"x.yaml:1:8: limit: 0 is below the minimum 1\n" +
				"    1 | limit: 0 # none\n" +
				"      |        ^",
		},
		"MissingKeyAtItsItem": {
			"items:\n- wait: 1s\n",
			"x.yaml:2:3: items[0].name: is required\n" +
				"    2 | - wait: 1s\n" +
				"      |   ^^^^",
		},
		"QuotedValueOfAnotherType": {
			"items:\n- name: a\n  wait: \"soon\"\n",
			"x.yaml:3:9: items[0].wait: \"soon\" is not a duration such as 90s, 1h30m, 2d or 60000 (milliseconds)\n" +
				"    3 |   wait: \"soon\"\n" +
				"      |         ^^^^^^",
		},
		"GivenTwice": {
			"title: a\ntitle: b\n",
			"x.yaml:2:1: title is given twice\n    2 | title: b\n      | ^^^^^",
		},
		"WideCharactersBeforeTheFault": {
			"{title: 日本, limit: 0}\n",
			"x.yaml:1:20: limit: 0 is below the minimum 1\n" +
				"    1 | {title: 日本, limit: 0}\n" +
				"      |                      ^",
		},
		"SecondDocument": {"title: a\n---\ntitle: b\n", "x.yaml:2:1: the file has a second document: only one is read\n    2 | ---\n      | ^"},
		"NoMapping":      {"- a\n", "x.yaml:1:1: the file is not a mapping: it begins with keys, such as name:\n    1 | - a\n      | ^"},
		"Empty":          {"", "x.yaml: the file is empty"},
		"OnlyComments":   {"# nothing\n", "x.yaml: the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := fill(t, tt.text)
			if _, ok := errors.AsType[*yamlfile.Error](err); !ok {
				t.Fatalf("got %T %v", err, err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSyntaxErrorsHaveALine(t *testing.T) {
	t.Parallel()

	for _, text := range []string{"title: a\nitems: [b\n", "title: a\n\tlimit: 3\n", "title: \"x\n", "a: b: c\n"} {
		_, err := yamlfile.Parse("x.yaml", []byte(text))
		found, ok := errors.AsType[*yamlfile.Error](err)
		if !ok || found.Problems[0].Line == 0 || !strings.Contains(err.Error(), "^") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestAliasesCantBlowUp(t *testing.T) {
	t.Parallel()

	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		last := string(rune('0' + i - 1))
		b.WriteString("a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.Repeat("*a"+last+", ", 9) + "*a" + last + "]\n")
	}
	_, err := yamlfile.Parse("bomb.yaml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "too much") {
		t.Errorf("got %v", err)
	}
}

func TestLocatePlacesWhatIsFoundLater(t *testing.T) {
	t.Parallel()

	f, err := yamlfile.Parse("x.yaml", []byte("items:\n- name: a\n  after: [b, c]\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = f.Locate(&params.Error{Problems: []params.Problem{
		{Field: "items[0].after[1]", Message: "nothing is named c", Suggestion: "b"},
	}})
	want := "x.yaml:3:14: items[0].after[1]: nothing is named c. Did you mean b?\n" +
		"    3 |   after: [b, c]\n" +
		"      |              ^"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if other := errors.New("other"); !errors.Is(f.Locate(other), other) || f.Locate(nil) != nil {
		t.Error("another error was changed")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a: b\n", "- a\n", "a: &x [*x]\n", "? [a]\n: b\n", "<<: {a: b}\n", "a: !!binary x\n", "a: |\n  x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := fill(t, text)
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
