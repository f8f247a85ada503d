package params

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reencodes checks that what was accepted can be written and read again, through flags and JSON.
func reencodes(t *testing.T, s *Spec, v *everything) {
	t.Helper()
	p, err := ParseArgs(s.Args(v), s)
	var again everything
	if err := Join(err, s.Fill(&again, p.Flags...)); err != nil {
		t.Fatalf("flags: %v\n%q", err, s.Args(v))
	}
	if diff := cmp.Diff(*v, again, equal()); diff != "" {
		t.Fatalf("flags (-want +got)\n%s", diff)
	}
	doc, err := s.JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.FromJSON(doc, OriginAPI)
	again = everything{}
	if err := Join(err, s.Fill(&again, l)); err != nil {
		t.Fatalf("JSON: %v\n%s", err, doc)
	}
	if diff := cmp.Diff(*v, again, equal()); diff != "" {
		t.Fatalf("JSON (-want +got)\n%s\n%s", diff, doc)
	}
}

func FuzzParseArgs(f *testing.F) {
	for _, seed := range []string{
		"", "--name=x", "--int\n10k\n--no-on\n--", "--tags=a,b\n--tags\n[\"c\"]", "--source={\"coll\":\"x\"}\n--source.limit=5",
		"--config={\"i64\":\"9223372036854775807\",\"target\":null}", "--since\n-7d\n-\n--maybe-flag\nfalse", "--labels=k=v\n--labels={\"a\":\"b\"}",
		"--every=1.5d2h\n--at=now\n--from=2026-01-02T15:04", "--price=1E+3\n--key=123e4567-e89b-12d3-a456-426614174000", "--dozen=9007199254740993",
		"--no-target\n--no-maybe-int\n--u64=18446744073709551615", "--steps={\"coll\":\"x\",\"after\":\"2d\"}", "-x\n-=\n--=\n--no-\n---", "--places={\"a\":{}}",
		"--hue=r\n--level=warn+1\n--addr=::1%eth0", "--f32=1e-46\n--f64=-0\n--weights=a=.5", "--groups={\"fast\":[\"\"]}",
	} {
		f.Add(seed)
	}
	s, err := Of(&everything{})
	if err != nil {
		f.Fatal(err)
	}
	open := openString("a\nb")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := Parser{Specs: []*Spec{s}, Open: open, Stdin: strings.NewReader("1\n2")}.Parse(strings.Split(line, "\n"))
		var v everything
		if err := Join(err, s.Fill(&v, p.Flags[0], p.File[0])); err != nil {
			_ = err.Error()
			return
		}
		reencodes(t, s, &v)
	})
}

func FuzzFromJSON(f *testing.F) {
	for _, seed := range []string{
		"{}", "null", `{"name":"x","Int":500,"source":{"coll":"y"},"source.limit":1}`, `{"i64":9223372036854775807,"u64":"18446744073709551615"}`,
		`{"tags":["a",null]}`, `{"steps":[{"coll":"a","tags":[],"after":1000}],"places":{"x":{"deep.level":1}}}`, `{"target":null,"maybeAt":"-7d"}`,
		`{"f32":3.4028235e38,"f64":1e-400,"int":5.0,"i8":-128e0}`, `{"price":1e9999,"id":"0123456789abcdef01234567"}`, "{\"name\":\"\xff\"}",
		`{"name":"\ud83d"}`, `{"at":"2026-01-02T15:04:05.5+02:00","every":-1}`, `{"labels":{"":""},"groups":{"off":[]},"matrix":[[1],[]]}`, `{"hue":"g"}`,
	} {
		f.Add([]byte(seed))
	}
	s, err := Of(&everything{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		l, err := s.FromJSON(doc, OriginAPI)
		var v everything
		if err := Join(err, s.Fill(&v, l)); err != nil {
			_ = err.Error()
			return
		}
		reencodes(t, s, &v)
	})
}
