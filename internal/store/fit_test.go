package store

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

type node struct {
	Name string
	Next *node
}

// explosive is a script's own type that BSON calls.
type explosive struct{}

func (explosive) MarshalBSON() ([]byte, error) { panic("boom") }

// liar is a type that says it is BSON and is not.
type liar struct{}

func (liar) MarshalBSON() ([]byte, error) { return []byte{12, 0, 0, 0, 1, 'x', 0, 1, 2, 3, 4, 0}, nil }

func nested(levels int) any {
	var v any = 1
	for range levels {
		v = bson.D{{Key: "a", Value: v}}
	}
	return v
}

// Whatever a script returns, its end is recorded, and the record says what is missing.
func TestResults(t *testing.T) {
	t.Parallel()
	self := &node{Name: "self"}
	self.Next = self
	text := func(prefix string) func(t *testing.T, r Run) {
		return func(t *testing.T, r Run) {
			t.Helper()
			s, ok := r.Result.StringValueOK()
			if !ok || !strings.HasPrefix(s, prefix) || len(s) < valueLimit-4 || len(s) > valueLimit || !utf8.ValidString(s) {
				t.Errorf("got %d bytes of %s, want a string of about 1 MiB that begins with %s", len(s), r.Result.Type, prefix)
			}
		}
	}
	nothing := func(t *testing.T, r Run) {
		t.Helper()
		if !r.Result.IsZero() {
			t.Errorf("got %s, want nothing", r.Result)
		}
	}
	equal := func(want string) func(t *testing.T, r Run) {
		return func(t *testing.T, r Run) {
			t.Helper()
			if got := r.Result.String(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
	for name, row := range map[string]struct {
		result any
		want   func(t *testing.T, r Run)
		why    string // "" when nothing is cut
	}{
		"Nothing":             {nil, nothing, ""},
		"Scalar":              {42, equal(`{"$numberInt":"42"}`), ""},
		"Struct":              {node{Name: "x"}, equal(`{"name": "x","next": null}`), ""},
		"Array":               {[]string{"a", "b"}, equal(`["a","b"]`), ""},
		"ZeroBytesInText":     {"a\x00b", equal(`"a\u0000b"`), ""},
		"TwentyMegabytes":     {strings.Repeat("x", 20<<20), text(`"xxxx`), "bytes"},
		"LargeDocument":       {bson.D{{Key: "k", Value: strings.Repeat("é", 1<<20)}}, text(`{"k":"éé`), "bytes"},
		"LargeBinary":         {make([]byte, 3<<20), text(`{"$binary"`), "bytes"},
		"LargeArray":          {make([]int, 1<<20), text(`[0,0`), "bytes"},
		"JustFits":            {strings.Repeat("x", valueLimit-5), func(*testing.T, Run) {}, ""},
		"ContainsItself":      {self, nothing, "contains itself"},
		"DeepButFine":         {nested(80), func(*testing.T, Run) {}, ""},
		"TooDeep":             {nested(150), nothing, "deeper than 100"},
		"Channel":             {make(chan int), nothing, "can't hold"},
		"Function":            {func() {}, nothing, "can't hold"},
		"TypeThatPanics":      {explosive{}, nothing, "panicked: boom"},
		"TypeWithBrokenBSON":  {liar{}, nothing, "can't hold"},
		"NumberOutOfRange":    {uint64(math.MaxUint64), nothing, "can't hold"},
		"NotANumber":          {math.NaN(), equal(`{"$numberDouble":"NaN"}`), ""},
		"KeyWithAZeroByte":    {map[string]int{"a\x00b": 1}, nothing, "can't hold"},
		"LooksLikeExpression": {bson.D{{Key: "$ne", Value: "$$NOW"}}, equal(`{"$ne": "$$NOW"}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			run := b.start(t, newRun())
			if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Succeeded, Result: row.result}); err != nil {
				t.Fatal(err)
			}
			got, err := b.Run(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			row.want(t, got)
			switch {
			case row.why == "" && got.ResultCut != nil:
				t.Errorf("cut: got %+v, want none", got.ResultCut)
			case row.why != "" && (got.ResultCut == nil || !strings.Contains(got.ResultCut.Why, row.why)):
				t.Errorf("cut: got %+v, want one that says %q", got.ResultCut, row.why)
			}
		})
	}
}

func TestEverythingElseIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	huge := strings.Repeat("€", 1<<20) // 3 MiB
	n := newRun()
	n.Params = bson.D{{Key: "list", Value: huge}}
	n.Actor, n.Trigger, n.RikkiVersion = huge, huge, huge
	n.Findings = make([]Finding, 3000)
	for i := range n.Findings {
		n.Findings[i] = Finding{Level: "error", Field: huge, Message: huge}
	}
	b.start(t, n)
	counters := map[string]int64{}
	for i := range 100_000 {
		counters[time.Duration(i).String()] = 1
	}
	beat := Beat{TTL: time.Minute, Progress: &Progress{Message: huge}, Counters: counters}
	if _, err := b.Beat(t.Context(), n.ID, 1, beat); err != nil {
		t.Fatal(err)
	}
	run, err := b.Finish(t.Context(), n.ID, 1, Finish{
		State: Failed, Result: huge, Error: &RunError{Kind: huge, Message: huge, Why: huge, Fix: huge, Stack: huge},
		Findings: n.Findings, Progress: beat.Progress, Counters: counters,
	})
	if err != nil {
		t.Fatal(err)
	}
	if size := len(b.stored(t, n.ID)); size > 12<<20 {
		t.Errorf("the record has %d bytes, too close to the server's limit", size)
	}
	if run.ParamsCut == nil || run.ParamsCut.Bytes < 3<<20 || run.CountersCut == nil || run.ResultCut == nil {
		t.Errorf("cuts: parameters %+v, counters %+v, result %+v", run.ParamsCut, run.CountersCut, run.ResultCut)
	}
	if len(run.Findings) != maxFindings || run.FindingsCut != 2000 {
		t.Errorf("findings: got %d and %d left out, want 1000 and 2000", len(run.Findings), run.FindingsCut)
	}
	if !strings.HasSuffix(run.Error.Message, "… (cut: 3145728 bytes)") || !strings.HasSuffix(run.Error.Stack, "bytes)") {
		t.Errorf("the error doesn't say that it is cut: …%s", run.Error.Message[len(run.Error.Message)-40:])
	}
}

func TestTextIsAlwaysValidUTF8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := newRun()
	n.Actor = "mi\xffra"
	b.start(t, n)
	run, err := b.Finish(t.Context(), n.ID, 1, Finish{State: Failed, Error: &RunError{Kind: "k", Message: "\xfe\xff binary"}})
	if err != nil {
		t.Fatal(err)
	}
	if run.Actor != "mi\uFFFDra" || run.Error.Message != "\uFFFD binary" {
		t.Errorf("got %q and %q", run.Actor, run.Error.Message)
	}
}

func TestPrefixOfEndsBetweenCharacters(t *testing.T) {
	t.Parallel()
	got := make([]string, 0, 8)
	for limit := range 8 {
		got = append(got, prefixOf("a€b😀", limit))
	}
	want := []string{"", "a", "a", "a", "a€", "a€b", "a€b", "a€b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prefixes (-want +got):\n%s", diff)
	}
}

// FuzzFit holds that any text of any size fits, or says why it doesn't, and stays valid.
func FuzzFit(f *testing.F) {
	f.Add("plain", 4)
	f.Add("€\xff\x00", 2)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1<<16 {
			t.Skip()
		}
		for _, v := range []any{s, bson.D{{Key: "v", Value: s}}, []string{s, s}} {
			rv, cut := fit(v, limit)
			if rv.IsZero() {
				if cut == nil {
					t.Fatal("lost without a word")
				}
				continue
			}
			if err := rv.Validate(); err != nil {
				t.Fatal(err)
			}
			// A string carries its length and an end in BSON.
			if len(rv.Value) > limit+5 {
				t.Fatalf("%d bytes, limit %d", len(rv.Value), limit)
			}
			if text, ok := rv.StringValueOK(); ok && cut != nil && !utf8.ValidString(text) {
				t.Fatalf("%q is no UTF-8", text)
			}
		}
	})
}

func TestErrorsNameWhatHappened(t *testing.T) {
	t.Parallel()
	busy := &BusyError{Holder: Run{
		ID: "r_1", Script: "s", Actor: "mira", StartedAt: longAgo(), Lease: Lease{Owner: Owner{Host: "h", PID: 7}},
	}}
	if got, want := busy.Error(), "s is running already: run r_1, by mira on h (pid 7), since 2020-01-02 03:04:05 UTC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ambiguous := &AmbiguousError{Prefix: "r_1", Candidates: []Run{{ID: "r_1a"}, {ID: "r_1b"}}}
	if got, want := ambiguous.Error(), `"r_1" fits more than one run: r_1a, r_1b; give more of the id`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cause := errors.New("cause")
	if err := wrap("do it", cause); !errors.Is(err, cause) || err.Error() != "do it: cause" {
		t.Errorf("got %v", err)
	}
	if err := wrap("do it", nil); err != nil {
		t.Errorf("got %v", err)
	}
}
