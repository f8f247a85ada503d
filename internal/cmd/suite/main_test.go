package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const imports = "package x\n\nimport (\n\t\"os\"\n\t\"testing\"\n\t\"time\"\n)\n\nvar _, _ = os.Exit, time.Now\n\nfunc TestFine(t *testing.T) {}\n\n"

// fails makes the body of a test that fails so many times, and passes from then on.
func fails(times int) string {
	return fmt.Sprintf(`f, err := os.OpenFile("tries", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("x")
	if info, _ := f.Stat(); info.Size() <= %d {
		t.Error("not yet")
	}
`, times)
}

// in runs the suite over a module with one package, and returns the exit code and the lines at the end.
func in(t *testing.T, code string, timeout time.Duration) (int, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26\n", "x_test.go": code} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	s := suite{root: dir, out: &out, timeout: timeout, parallel: 1, env: []string{"GOWORK=off", "GOFLAGS=-vet=off"}}
	exit, err := s.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return exit, out.String()
}

func TestTheSuiteTellsTheTruth(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		name, code string
		exit       int
		want       string // the last lines
	}{
		{"Passes", imports + `func TestSkipped(t *testing.T) { t.Skip() }`, 0, "TOTAL 1 passed, 0 failed, 1 skipped in 1 modules\n"},
		{
			"FailsOnce", imports + "func TestFlaky(t *testing.T) {\n" + fails(1) + "}\n", 0,
			"FLAKY  x TestFlaky (passed when it was run again by itself, time 1)\nTOTAL 2 passed, 0 failed, 0 skipped in 1 modules\n",
		},
		{
			"FailsTwice", imports + "func TestFlaky(t *testing.T) { t.Run(\"a b/c.*\", func(t *testing.T) {\n" + fails(2) + "})\nt.Run(\"other\", func(t *testing.T) {})}\n", 0,
			"FLAKY  x TestFlaky/a_b/c.* (passed when it was run again by itself, time 2)\nTOTAL 4 passed, 0 failed, 0 skipped in 1 modules\n",
		},
		{
			"FailsThreeTimes", imports + "func TestBad(t *testing.T) {\n" + fails(3) + "}\n", 1,
			"FAILED x TestBad\nTOTAL 1 passed, 1 failed, 0 skipped in 1 modules\n",
		},
		{
			"OneIsFlakyAndOneFails", imports + "func TestFlaky(t *testing.T) {\n" + fails(1) + "}\nfunc TestBad(t *testing.T) { t.Error(\"no\") }\n", 1,
			"FAILED x TestBad\nFLAKY  x TestFlaky (passed when it was run again by itself, time 1)\nTOTAL 2 passed, 1 failed, 0 skipped in 1 modules\n",
		},
		{
			"AParentThatFailsByItselfIsRunWhole", imports + `func TestSum(t *testing.T) {
				sum := 0
				for _, name := range []string{"a", "b"} { t.Run(name, func(t *testing.T) { sum++; if name == "a" { t.Error("no") } }) }
				if sum == 2 { t.Error("the sum") }
			}`, 1,
			"FAILED x TestSum\nTOTAL 2 passed, 2 failed, 0 skipped in 1 modules\n",
		},
		{
			"Panics", imports + `func TestPanics(t *testing.T) { if _, err := os.Stat("once"); err != nil { os.WriteFile("once", nil, 0o600); panic("no") } }`, 1,
			"BROKEN x: its program ended",
		},
		{
			"PanicsElsewhere", imports + `func TestPanics(t *testing.T) { go func() { panic("no") }(); select {} }`, 1,
			" packages broken, 1 tests not ended\n",
		},
		{
			"Hangs", imports + `func TestHangs(t *testing.T) { select {} }`, 1, "BROKEN x: its program ended",
		},
		{
			"Exits", imports + `func TestExits(t *testing.T) { os.Exit(1) }`, 1, "BROKEN x: its program ended",
		},
		{
			"ExitsAsIfAllWereWell", imports + `func TestExits(t *testing.T) { os.Exit(0) }`, 1, "BROKEN x: its program ended",
		},
		{
			"TestMainFails", imports + `func TestMain(m *testing.M) { m.Run(); os.Exit(1) }`, 1,
			"BROKEN x: TestMain failed, though no test did\nTOTAL 1 passed, 0 failed, 0 skipped in 1 modules, 1 packages broken, 0 tests not ended\n",
		},
		{
			"TestMainDoesNotBegin", imports + `func TestMain(m *testing.M) { os.Exit(3) }`, 1,
			"BROKEN x: it does not build, or its tests do not begin\nTOTAL 0 passed, 0 failed, 0 skipped in 1 modules, 1 packages broken, 0 tests not ended\n",
		},
		{
			"TestMainFailsWheneverATestIsRunAgain", imports + `func TestMain(m *testing.M) { m.Run(); os.Exit(1) }` + "\nfunc TestFlaky(t *testing.T) {\n" + fails(1) + "}\n", 1,
			"FAILED x TestFlaky\nTOTAL 1 passed, 1 failed, 0 skipped in 1 modules\n",
		},
		{
			"DoesNotBuild", imports + `func TestBad(t *testing.T) { unknown() }`, 1,
			"BROKEN x: it does not build, or its tests do not begin\nTOTAL 0 passed, 0 failed, 0 skipped in 1 modules, 1 packages broken, 0 tests not ended\n",
		},
		{
			"IsNoTestFile", "package x\n\nfunc {", 1, "BROKEN x: it does not build, or its tests do not begin\n",
		},
		{
			"PrintsASecret", imports + `func TestTells(t *testing.T) { t.Log("pass", "hunter" + "2") }`, 1, "\nTOTAL 2 passed, 0 failed, 0 skipped in 1 modules\n",
		},
		{
			"SaysThatThereIsADataRace", imports + `func TestRaces(t *testing.T) { if _, err := os.Stat("once"); err != nil { os.WriteFile("once", nil, 0o600); t.Error("WARNING: DATA " + "RACE") } }`, 1,
			"BROKEN x: a data race\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if c.name == "Hangs" {
				timeout = time.Second
			}
			exit, out := in(t, c.code, timeout)
			if exit != c.exit || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d, want %d with %q; output:\n%s", exit, c.exit, c.want, out)
			}
			if lines := strings.Split(strings.TrimSpace(out), "\n"); !strings.HasPrefix(lines[len(lines)-1], "TOTAL ") {
				t.Errorf("the last line is %q", lines[len(lines)-1])
			}
		})
	}
}

// Where much fails at once, running it again proves nothing and takes long.
func TestManyFailuresAreNotRunAgain(t *testing.T) {
	t.Parallel()
	code := imports
	for i := range atMost + 1 {
		code += fmt.Sprintf("func TestBad%d(t *testing.T) { t.Error() }\n", i)
	}
	exit, out := in(t, code, time.Minute)
	if exit != 1 || strings.Contains(out, "again: ") || !strings.Contains(out, fmt.Sprintf("TOTAL 1 passed, %d failed", atMost+1)) {
		t.Errorf("exit code %d; output:\n%s", exit, out)
	}
}

// What is not built with the race detector is run all the same, and counts.
func TestWhatTheRaceDetectorLeavesOutIsRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds with the race detector and without it")
	}
	dir := t.TempDir()
	plain := "//go:build !race\n\npackage x\n\nimport \"testing\"\n\n"
	for name, text := range map[string]string{
		"go.mod": "module x\n\ngo 1.24\n", "x_test.go": imports + "func TestBad(t *testing.T) { t.Error(\"no\") }\n",
		"plain_test.go": plain + "func TestPlain(t *testing.T) {}\nfunc TestPlainBad(t *testing.T) { t.Error(\"no\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	s := suite{root: dir, out: &out, race: true, timeout: time.Minute, parallel: 1, env: []string{"GOWORK=off", "GOFLAGS=-vet=off"}}
	want := "FAILED x TestBad\nFAILED x TestPlainBad\nTOTAL 2 passed, 2 failed, 0 skipped in 1 modules\n"
	if exit, err := s.run(t.Context()); err != nil || exit != 1 || !strings.HasSuffix(out.String(), want) {
		t.Errorf("exit code %d, %v; output:\n%s", exit, err, out.String())
	}
}

func TestWithoutRaceOnly(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{"!race": true, "linux && !race": true, "linux": false, "race": false, "!windows": false} {
		if got := withoutRaceOnly([]byte("// Words.\n\n//go:build " + line + "\n\npackage x\n")); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
	if withoutRaceOnly([]byte("package x\n\n//go:build !race\n")) {
		t.Error("what stands behind the package clause is no constraint")
	}
}

func TestTheLongestComeFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cli"), 0o750); err != nil {
		t.Fatal(err)
	}
	s := suite{first: []string{"./faults", "./cli"}}
	if got := strings.Join(s.packages(dir), " "); got != "./cli ./..." {
		t.Errorf("packages %q", got)
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "b/go.mod", "a/testdata/go.mod", "bin/go.mod", ".hidden/go.mod"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dirs, err := modules(dir)
	if err != nil || len(dirs) != 2 || dirs[1] != filepath.Join(dir, "b") {
		t.Errorf("modules = %q, %v", dirs, err)
	}
	if _, err := modules(t.TempDir()); err == nil {
		t.Error("no module, and no error")
	}
}
