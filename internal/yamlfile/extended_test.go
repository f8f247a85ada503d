package yamlfile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/params"
)

type query struct {
	Filter string   `format:"mongo-filter"`
	Only   []string `format:"mongo-value"`
	Text   string
}

// inline is what a file says about the filter.
func inline(t *testing.T, text string) (map[string]any, error) {
	t.Helper()
	f, err := yamlfile.Parse("x.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	spec, err := params.Of(&query{})
	if err != nil {
		t.Fatal(err)
	}
	m := f.Map()
	return m, f.Inline(m, "", spec)
}

// Each value of YAML as Extended JSON, by the tables of YAML 1.2 and its types, made by hand.
func TestValuesOfYAMLKeepOrderAndType(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"{z: 1, b: {y: 1, a: 2}, a: 3}": `{"z": 1, "b": {"y": 1, "a": 2}, "a": 3}`,
		"1.0":                           "1.0", "1e3": "1000.0", "1E+2": "100.0", "5.": "5.0", ".5": "0.5", "-0.0": "-0.0", "1e100": "1e+100", "0.1": "0.1",
		".inf": `{"$numberDouble": "Infinity"}`, "-.Inf": `{"$numberDouble": "-Infinity"}`, ".nan": `{"$numberDouble": "NaN"}`,
		"0": "0", "-5": "-5", "+5": "5", "0x1F": "31", "0o17": "15", "0x0b1": "177", "9223372036854775807": "9223372036854775807",
		"2147483648": "2147483648", "{$numberLong: 5}": `{"$numberLong": "5"}`, "{$numberDecimal: 1.10}": `{"$numberDecimal": "1.10"}`,
		"null": "null", "~": "null", "": "null", "Null": "null", "true": "true", "FALSE": "false",
		"yes": `"yes"`, "no": `"no"`, "on": `"on"`, "12:30:45": `"12:30:45"`, "Infinity": `"Infinity"`, "1.2.3": `"1.2.3"`, "5 apples": `"5 apples"`,
		`"5"`: `"5"`, `'1.0'`: `"1.0"`, `"null"`: `"null"`, `"2026-01-01"`: `"2026-01-01"`, `""`: `""`, `"<&>"`: `"<&>"`, `"\0"`: `"\u0000"`,
		"2026-01-02":                             `{"$date": "2026-01-02T00:00:00Z"}`,
		"2026-01-02T03:04:05.678Z":               `{"$date": "2026-01-02T03:04:05.678Z"}`,
		"2026-01-02 03:04:05 +02:00":             `{"$date": "2026-01-02T01:04:05Z"}`,
		"2026-01-02T03:04:05+0200":               `{"$date": "2026-01-02T01:04:05Z"}`,
		"{$date: 2026-01-02}":                    `{"$date": "2026-01-02T00:00:00Z"}`,
		`{$date: "2026-01-02T00:00:00Z"}`:        `{"$date": "2026-01-02T00:00:00Z"}`,
		"{$oid: 651234567890123456789011}":       `{"$oid": "651234567890123456789011"}`,
		"{$oid: 6512345678901234567890e1}":       `{"$oid": "6512345678901234567890e1"}`,
		"{$binary: {base64: AQI=, subType: 04}}": `{"$binary": {"base64": "AQI=", "subType": "04"}}`,
		"!!binary AQI=":                          `{"$binary": {"base64": "AQI=", "subType": "00"}}`,
		"!!float 1":                              "1.0", `!!int "5"`: "5", "!!str 5": `"5"`, "!!str 2026-01-02": `"2026-01-02"`, `!!timestamp "2026-01-02"`: `{"$date": "2026-01-02T00:00:00Z"}`, "!!bool true": "true",
		"[1, 1.0, '1', [~]]":             `[1, 1.0, "1", [null]]`,
		"{a: &x {z: 1, a: 2}, b: *x}":    `{"a": {"z": 1, "a": 2}, "b": {"z": 1, "a": 2}}`,
		"{1: a, null: b, 2026-01-02: c}": `{"1": "a", "null": "b", "2026-01-02": "c"}`,
	} {
		m, err := inline(t, "filter: {v: "+yaml+"}\n")
		if err != nil {
			t.Errorf("%s: %v", yaml, err)
			continue
		}
		if diff := cmp.Diff(`{"v": `+want+`}`, m["filter"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", yaml, diff)
		}
	}
}

// What one version of YAML reads in another way than the next, or what can't be kept, is refused by line and caret.
func TestValuesThatCouldMeanTwoThingsAreRefused(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"0777": "octal in YAML 1.1", "007": "octal in YAML 1.1", "089": "octal in YAML 1.1", "00.5": "octal in YAML 1.1",
		"0b101": "binary in YAML 1.1", "-0b1": "binary in YAML 1.1", "0b2": "binary in YAML 1.1", "!!int 0b11": "binary in YAML 1.1",
		"1_000": "number in YAML 1.1", "0o8": "no whole number of 64 bits", "0x1FFFFFFFFFFFFFFFF": "no whole number of 64 bits",
		"12345678901234567890": "is beyond 64 bits: write it as {$numberDecimal:", "-9223372036854775809": "is beyond 64 bits", "1e400": "is beyond a double",
		"2026-02-30": "looks like a date and is none", "2026-13-01": "looks like a date", "2026-01-02T25:00:00Z": "looks like a date", "2026-01-02 or so": "looks like a date",
		"!!binary '*'": "* is no binary", "!!int 1.5": "1.5 is no int", "!!int x": "x is no int", "!!bool 1": "1 is no bool", "!!null x": "x is no null",
		"!foo x": "!foo has no meaning", "!!set {a, b}": "!!set has no meaning", "!!omap [a: 1]": "!!omap has no meaning",
		"{a: 1, a: 2}": "a is given twice", "{<<: {a: 1}}": "<< is not supported", "{? [a] : 1}": "a key must be a plain word",
	} {
		_, err := inline(t, "filter: {v: "+yaml+"}\n")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "x.yaml:1:") {
			t.Errorf("%s: error %v, want one with %q", yaml, err, want)
		}
	}
}

func TestListsOfValues(t *testing.T) {
	t.Parallel()
	m, err := inline(t, "only: [5, 5.0, null, 'a,b', {y: 1, a: 2}, 2026-01-02]\ntext: 5\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []any{"5", "5.0", "null", "a,b", `{"y": 1, "a": 2}`, `{"$date": "2026-01-02T00:00:00Z"}`}
	if diff := cmp.Diff(want, m["only"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Aliases that stand for billions are refused here too.
func TestAliasesOfValuesAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n")
	for i := range 9 {
		n := string(rune('0' + i))
		m := string(rune('1' + i))
		b.WriteString("x" + m + ": &x" + m + " [*x" + n + ", *x" + n + ", *x" + n + ", *x" + n + ", *x" + n + ", *x" + n + ", *x" + n + ", *x" + n + "]\n")
	}
	b.WriteString("filter: {v: *x9}\n")
	if _, err := inline(t, b.String()); err == nil || !strings.Contains(err.Error(), "stand for too much") {
		t.Errorf("error %v", err)
	}
}
