package arch_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// machinePath finds where somebody's files are: a home, a checkout, a directory below the one for temporary files. What every system
// has, as /etc/ssl, an example may name, and a file right in /tmp.
var machinePath = regexp.MustCompile(strings.Join([]string{
	before + `/(` + "work|workspace|root|mnt|var/folders|private/var" + `)(/|\b)`,
	before + `/(` + "home|Users" + `)/\w`,
	before + `/tmp/[\w.-]+` + `/`,
	`\b[A-Za-z]:\\+` + "Users" + `\\`,
}, "|"))

// before is what may stand before a path. Others are part of a longer one, or of an address.
const before = `(?:^|[\s"'=(:,<>\[` + "`" + `]|file://)`

func TestTheLinesThatBreakARuleAreNamed(t *testing.T) {
	t.Parallel()
	mark := "FIX" + "ME"
	if got := forbidden["a time-stamped to-do note"].lines([]byte("fine\n" + mark + "\nfine\n" + mark + "\n")); !slices.Equal(got, []int{2, 4}) {
		t.Errorf("lines %v, want 2 and 4", got)
	}
	if got := forbidden["a conflict marker"].lines([]byte("fine\n" + strings.Repeat(">", 7) + " x\n")); !slices.Equal(got, []int{2}) {
		t.Errorf("lines %v, want 2", got)
	}
}

func TestMachinePath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"cd " + "/ho" + "me/ann/rikki":           true,
		`"` + "/Us" + `ers/ann/x.json"`:          true,
		"see " + "/wo" + "rk/notes":              true,
		"(" + "/ro" + "ot)":                      true,
		"file://" + "/ro" + "ot/x":               true,
		"/tm" + "p/go-build12/b001/x.test":       true,
		"C:" + `\Us` + `ers\ann`:                 true,
		"/etc/ssl/certs":                         false,
		"--out=/tm" + "p/report.json":            false,
		"https://example.org" + "/ho" + "me/ann": false,
		"the user root":                          false,
		"internal/wo" + "rk/x":                   false,
		"/home":                                  false,
	} {
		if got := forbidden["a path of one machine"].broken([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// rule is what no line may have. Only lines with one of the hints are looked at closely, which takes long.
type rule struct {
	hints []string
	re    *regexp.Regexp
}

func (r rule) broken(line []byte) bool { return r.hinted(line) && r.re.Match(line) }

func (r rule) hinted(text []byte) bool {
	return slices.ContainsFunc(r.hints, func(hint string) bool { return bytes.Contains(text, []byte(hint)) })
}

// lines are the numbers of those that break the rule. Where the whole has none of the hints, no line has.
func (r rule) lines(data []byte) (broken []int) {
	if !r.hinted(data) {
		return nil
	}
	number := 0
	for line := range bytes.Lines(data) {
		if number++; r.broken(line) {
			broken = append(broken, number)
		}
	}
	return broken
}

// The words are put together here, or this file would contain them.
var forbidden = map[string]rule{
	"a package registry's host": {
		[]string{"proxy", "sum.", "pypi", "pythonhosted", "registry.", "crates", "rubygems", "maven"},
		regexp.MustCompile(strings.Join([]string{
			"proxy" + `\.golang\.org`, "sum" + `\.golang\.org`, "goproxy" + `\.(io|cn)`, "pypi" + `\.org`,
			"pythonhosted" + `\.org`, "registry\\." + `npmjs\.(org|com)`, "registry\\." + `yarnpkg\.com`,
			"crates" + `\.io`, "rubygems" + `\.org`, "repo1?\\." + `maven\.`,
		}, "|")),
	},
	"a path of one machine": {
		[]string{"/wo" + "rk", "/ro" + "ot", "/mn" + "t", "/ho" + "me/", "/Us" + "ers/", "/tm" + "p/", "/var/fo" + "lders", "/private/v" + "ar", "Us" + `ers\`},
		machinePath,
	},
	"a conflict marker":         {[]string{"<<<<" + "<<<", ">>>>" + ">>>"}, regexp.MustCompile(`^(<{7} |>{7} )`)},
	"a private key":             {[]string{"PRIVATE" + " KEY"}, regexp.MustCompile("BEGIN [A-Z ]*PRIVATE" + " KEY")},
	"a time-stamped to-do note": {[]string{"FIX" + "ME", "XX" + "X"}, regexp.MustCompile("FIX" + "ME|XX" + "X:")},
}

func TestCommittedFiles(t *testing.T) {
	t.Parallel()

	for _, name := range tracked(t) {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if len(data) > 1<<20 {
			t.Errorf("%s has %d bytes: large files do not belong into the repository", name, len(data))
		}
		if bytes.IndexByte(data, 0) >= 0 {
			continue // not text
		}
		for what, rule := range forbidden {
			for _, number := range rule.lines(data) {
				t.Errorf("%s:%d contains %s", name, number, what)
			}
		}
	}
}

// maxLines keeps one concept per file.
const maxLines = 600

func TestGoFiles(t *testing.T) {
	t.Parallel()

	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			continue // deleted, and not committed yet
		}
		test := strings.HasSuffix(name, "_test.go")
		if n := bytes.Count(data, []byte("\n")); n > maxLines && !test {
			t.Errorf("%s has %d lines, more than %d: which second concept hides in it?", name, n, maxLines)
		}
		// Linters look at one call; this rule is about the file: fake time makes sleeping free and exact.
		if test && bytes.Contains(data, []byte("time."+"Sleep(")) && !bytes.Contains(data, []byte(`"testing/synctest"`)) {
			t.Errorf("%s sleeps: wait for an event, poll with a deadline, or use testing/synctest", name)
		}
	}
}

// public packages are read on pkg.go.dev, where examples are what people copy.
func public(p pkg) bool {
	return p.Name != "main" && !strings.HasPrefix(p.rel(), "internal/") && !strings.Contains(p.rel(), "/internal/") &&
		!strings.HasPrefix(p.rel(), "examples/") && !strings.HasPrefix(p.rel(), "cmd/")
}

func TestPackages(t *testing.T) {
	t.Parallel()

	example := regexp.MustCompile(`(?m)^func Example`)
	for _, p := range goList(t, "./...") {
		t.Run(p.rel(), func(t *testing.T) {
			t.Parallel()
			tests := ""
			for _, f := range append(p.TestGoFiles, p.XTestGoFiles...) {
				tests += read(t, filepath.Join(p.Dir, f))
			}
			if p.Name != "main" {
				doc, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
				if err != nil || !bytes.HasPrefix(doc, []byte("// Package "+p.Name+" ")) {
					t.Errorf("doc.go must begin with %q", "// Package "+p.Name+" …")
				}
			}
			// The examples of rikkitest are tests, which need a testing.TB.
			if public(p) && p.rel() != "rikkitest" && !example.MatchString(tests) {
				t.Error("a public package needs a runnable Example")
			}
			if tests != "" && p.Name != "main" && !strings.Contains(tests, "goleak.") && !strings.Contains(tests, "mongotest.Main") && !strings.Contains(tests, "faultrig.Main") {
				t.Error("TestMain must look for goroutines left behind (goleak.VerifyTestMain, mongotest.Main or faultrig.Main)")
			}
		})
	}
}
