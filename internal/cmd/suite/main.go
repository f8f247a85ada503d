// Command suite runs the tests of every module, and ends with a line that counts them:
//
//	go run ./internal/cmd/suite -race -timeout 20m -p 2
//
// A test that fails is run again by itself, up to twice. One that passes then is flaky: it is named in the last lines, and
// does not fail the suite. Everything else that goes wrong does: a test that never passes, a data race, a package that does not
// build, a program that ends in a panic or a time-out, a TestMain that fails although its tests pass, and a secret in what
// any test printed.
//
// With -race, the tests in files with the build constraint !race are run behind the others, without it: they measure memory, or
// work on much of it in one goroutine.
//
// What the tests said is in bin/output-N.json, one file a module; what takes how long is in bin/slowest.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s := suite{root: ".", out: os.Stdout}
	flag.BoolVar(&s.race, "race", false, "with the race detector")
	flag.DurationVar(&s.timeout, "timeout", 20*time.Minute, "the most that a package may take")
	flag.IntVar(&s.parallel, "p", 2, "packages tested at once")
	first := flag.String("first", "", "packages to begin with, separated by spaces: those that take longest, so that nothing waits for them at the end")
	flag.Parse()
	s.first = strings.Fields(*first)
	code, err := s.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code) //nolint:gocritic // nothing is left to be stopped
}

// suite is one run of all tests.
type suite struct {
	root     string
	out      io.Writer
	race     bool
	timeout  time.Duration
	parallel int
	first    []string // packages, as "./cli"
	env      []string // added to the environment of go
}

// atMost is how many tests are run again. When more fail it is no chance.
const atMost = 10

// attempts is how often a test is run again by itself.
const attempts = 2

func (s *suite) run(ctx context.Context) (code int, err error) {
	dirs, err := modules(s.root)
	if err != nil {
		return 1, err
	}
	bin := filepath.Join(s.root, "bin")
	if err := prepare(bin); err != nil {
		return 1, err
	}
	total := newResults()
	for i, dir := range dirs {
		one, err := s.module(ctx, dir, filepath.Join(bin, fmt.Sprintf("output-%d.json", i+1)))
		if err != nil {
			return 1, err
		}
		total.add(one)
	}
	if err := os.WriteFile(filepath.Join(bin, "slowest"), []byte(total.slowest()), 0o600); err != nil {
		return 1, err
	}
	return total.report(s.out, len(dirs)), nil
}

// modules are the directories of all modules of the repository.
func modules(root string) (dirs []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && skipped(d.Name()):
			return filepath.SkipDir
		case d.Name() == "go.mod":
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	if err == nil && len(dirs) == 0 {
		err = fmt.Errorf("no module below %s", root)
	}
	slices.Sort(dirs)
	return dirs, err
}

// prepare makes the directory of what a run leaves, without what the last one left.
func prepare(bin string) error {
	if err := os.MkdirAll(bin, 0o750); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(bin, "output-*.json"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// module runs the tests of one module, and those that failed again.
func (s *suite) module(ctx context.Context, dir, log string) (*results, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // flushed below
	w := bufio.NewWriter(file)
	r := newResults()
	if err := s.test(ctx, dir, r, w, append([]string{"-shuffle=on"}, s.packages(dir)...)...); err != nil {
		return nil, err
	}
	if err := s.again(ctx, dir, r, w); err != nil {
		return nil, err
	}
	if s.race {
		if err := s.withoutRace(ctx, dir, r, w); err != nil {
			return nil, err
		}
	}
	return r, w.Flush()
}

// packages are all of a module, those that take longest first.
func (s *suite) packages(dir string) (list []string) {
	for _, name := range s.first {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			list = append(list, name)
		}
	}
	return append(list, "./...")
}

// The secrets that tests use. None of them may be in anything that any test prints.
var secret = regexp.MustCompile(`.{0,60}(` + strings.Join([]string{"CANARY" + "7f3", "hunter" + "2", "s3cr" + "3t"}, "|") + `).{0,20}`)
