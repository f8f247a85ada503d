package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of what is being built
	Test       string
	Elapsed    float64
	Output     string
}

// id names a test.
type id struct{ pkg, test string }

// String is what the last lines call it.
func (i id) String() string {
	if i.test == "" {
		return i.pkg
	}
	return i.pkg + " " + i.test
}

// results are what became of tests.
type results struct {
	tests    map[id]*test
	packages map[string]*pack
	broken   []string // what went wrong and is no test: why a package failed
	flaky    map[id]int
	secrets  []string
}

// test is one of them.
type test struct {
	outcome string // pass, fail, skip; "" when it never ended
	elapsed float64
	output  []string
}

// pack is the outcome of a package.
type pack struct {
	outcome string
	elapsed float64
	output  []string
	build   string // why it does not build
	raced   bool
}

func newResults() *results {
	return &results{tests: map[id]*test{}, packages: map[string]*pack{}, flaky: map[id]int{}}
}

func (r *results) pack(name string) *pack {
	if r.packages[name] == nil {
		r.packages[name] = &pack{}
	}
	return r.packages[name]
}

// take adds one event.
func (r *results) take(e event) {
	if found := secret.FindString(e.Output); found != "" {
		r.secrets = append(r.secrets, strings.TrimSpace(found))
	}
	switch {
	case e.Action == "build-output":
		name, _, _ := strings.Cut(e.ImportPath, " ") // "path [path.test]"
		r.pack(name).build += e.Output
	case e.Package == "":
	case e.Test == "":
		r.takePackage(r.pack(e.Package), e)
	default:
		if strings.Contains(e.Output, "WARNING: DATA RACE") {
			r.pack(e.Package).raced = true
		}
		key := id{e.Package, e.Test}
		if r.tests[key] == nil {
			r.tests[key] = &test{}
		}
		r.tests[key].take(e)
	}
}

func (r *results) takePackage(p *pack, e event) {
	switch e.Action {
	case "output":
		p.output = append(p.output, e.Output)
		p.raced = p.raced || strings.Contains(e.Output, "WARNING: DATA RACE")
	case "pass", "fail", "skip":
		p.outcome, p.elapsed = e.Action, e.Elapsed
	}
}

func (t *test) take(e event) {
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pass", "fail", "skip":
		t.outcome, t.elapsed = e.Action, e.Elapsed
		if e.Action != "fail" {
			t.output = nil // nobody asks any more
		}
	}
}

// said tells whether a test printed something itself, and not only its subtests.
func (t *test) said() bool {
	return slices.ContainsFunc(t.output, func(line string) bool {
		line = strings.TrimSpace(line)
		return line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ")
	})
}

// failed are the tests of a package that failed, without those whose subtests explain it.
func (r *results) failed(pkg string) (ids []id) {
	for key, t := range r.tests {
		if key.pkg != pkg || t.outcome == "pass" || t.outcome == "skip" {
			continue
		}
		ids = append(ids, key)
	}
	slices.SortFunc(ids, func(a, b id) int { return cmp.Compare(a.test, b.test) })
	// A parent that said something itself may have failed by itself: then all of it counts as one.
	return slices.DeleteFunc(slices.Clone(ids), func(key id) bool {
		return slices.ContainsFunc(ids, func(other id) bool {
			switch {
			case strings.HasPrefix(other.test, key.test+"/"):
				return !r.tests[key].said()
			case strings.HasPrefix(key.test, other.test+"/"):
				return r.tests[other].said()
			default:
				return false
			}
		})
	})
}

// fault is why a package failed, where it is not a test that may be run again: "" when it is.
func (r *results) fault(name string) string {
	p, tests := r.packages[name], r.failed(name)
	ended := slices.Contains(p.output, "FAIL\n") // what the testing package prints after the last test of some that failed
	died := slices.ContainsFunc(p.output, func(line string) bool {
		return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
	})
	unended := slices.IndexFunc(tests, func(key id) bool { return r.tests[key].outcome == "" })
	switch {
	case p.raced:
		return "a data race"
	case len(r.own(name)) == 0:
		return "it does not build, or its tests do not begin"
	case unended >= 0:
		return "its program ended in the middle of " + tests[unended].test
	case len(tests) > 0 && (!ended || died):
		return "its program ended before its last test"
	case len(tests) == 0:
		return "TestMain failed, though no test did"
	default:
		return ""
	}
}

// own are all tests of a package.
func (r *results) own(name string) (ids []id) {
	for key := range r.tests {
		if key.pkg == name {
			ids = append(ids, key)
		}
	}
	return ids
}

// passed says that a test, its parents and its subtests passed after all.
func (r *results) passed(key id, times int) {
	r.flaky[key] = times
	for other, t := range r.tests {
		if other.pkg == key.pkg && (other.test == key.test || strings.HasPrefix(other.test, key.test+"/")) && t.outcome != "skip" {
			t.outcome = "pass"
		}
	}
	for parent := key.test; ; {
		at := strings.LastIndex(parent, "/")
		if at < 0 {
			return
		}
		parent = parent[:at]
		if t := r.tests[id{key.pkg, parent}]; t != nil && !r.below(key.pkg, parent) {
			t.outcome = "pass"
		}
	}
}

// below tells whether a subtest of a test is still failed.
func (r *results) below(pkg, parent string) bool {
	for key, t := range r.tests {
		if key.pkg == pkg && strings.HasPrefix(key.test, parent+"/") && t.outcome != "pass" && t.outcome != "skip" {
			return true
		}
	}
	return false
}

// add takes the results of another module, or of other tests.
func (r *results) add(other *results) {
	maps.Copy(r.tests, other.tests)
	for name, p := range other.packages {
		if mine := r.packages[name]; mine != nil {
			p.elapsed += mine.elapsed
		}
		r.packages[name] = p
	}
	maps.Copy(r.flaky, other.flaky)
	r.broken = append(r.broken, other.broken...)
	r.secrets = append(r.secrets, other.secrets...)
}

// count is how many tests have an outcome.
func (r *results) count(outcome string) (n int) {
	for _, t := range r.tests {
		if t.outcome == outcome {
			n++
		}
	}
	return n
}

// report writes the last lines and returns the exit code.
func (r *results) report(w io.Writer, modules int) (code int) {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		for _, key := range r.failed(name) {
			if r.tests[key].outcome != "" { // those that never ended are counted below
				lines = append(lines, "FAILED "+key.String())
			}
		}
	}
	for _, why := range r.broken {
		lines = append(lines, "BROKEN "+why)
	}
	slices.Sort(r.secrets)
	for _, text := range slices.Compact(r.secrets) {
		lines = append(lines, "SECRET in what a test printed (look for it in bin/output-*.json): "+text)
	}
	if len(lines) > 0 {
		code = 1
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.flaky), func(a, b id) int { return cmp.Compare(a.String(), b.String()) }) {
		lines = append(lines, fmt.Sprintf("FLAKY  %s (passed when it was run again by itself, time %d)", key, r.flaky[key]))
	}
	for _, line := range lines {
		fmt.Fprintln(w, line) //nolint:errcheck // a terminal that is gone
	}
	broken := ""
	if len(r.broken) > 0 {
		broken = fmt.Sprintf(", %d packages broken, %d tests not ended", len(r.broken), r.count(""))
	}
	fmt.Fprintf(w, "TOTAL %d passed, %d failed, %d skipped in %d modules%s\n", r.count("pass"), r.count("fail"), r.count("skip"), modules, broken) //nolint:errcheck // see above
	return code
}

// slowest lists packages and tests by the time they took.
func (r *results) slowest() string {
	type row struct {
		took float64
		name string
	}
	var rows []row
	for name, p := range r.packages {
		rows = append(rows, row{p.elapsed, name})
	}
	for key, t := range r.tests {
		if t.elapsed >= 1 {
			rows = append(rows, row{t.elapsed, key.String()})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.name, b.name)) })
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "%8.1fs  %s\n", row.took, row.name)
	}
	return b.String()
}
