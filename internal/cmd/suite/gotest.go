package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// test runs `go test` in a directory and takes what it says.
func (s *suite) test(ctx context.Context, dir string, r *results, log io.Writer, args ...string) error {
	line := []string{"test", "-json", "-timeout", s.timeout.String(), "-p", fmt.Sprint(s.parallel)}
	if s.race {
		line = append(line, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(line, args...)...) //nolint:gosec // our own arguments
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := s.read(io.TeeReader(out, log), r)
	_, _ = io.Copy(io.Discard, out) // or it could not end
	waitErr := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case readErr != nil:
		return readErr
	case errors.As(waitErr, &exit) && !r.red():
		return fmt.Errorf("go test failed in %s, and no package says why: %w", dir, waitErr)
	case errors.As(waitErr, &exit):
		return nil // the results tell
	default:
		return waitErr
	}
}

// red tells whether a package failed.
func (r *results) red() bool {
	for _, p := range r.packages {
		if p.outcome == "fail" {
			return true
		}
	}
	return false
}

// read takes the events, and shows each package when it is over.
func (s *suite) read(out io.Reader, r *results) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("go test printed %.200q: %w", lines.Text(), err)
		}
		r.take(e)
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail") {
			s.show(e, r)
		}
	}
	return lines.Err()
}

// show prints how a package ended, and all that its failed tests said.
func (s *suite) show(e event, r *results) {
	if len(r.own(e.Package)) == 0 && e.Action == "pass" {
		return
	}
	fmt.Fprintf(s.out, "%-4s  %7.1fs  %s\n", e.Action, e.Elapsed, e.Package) //nolint:errcheck // a terminal that is gone
	if e.Action == "pass" {
		return
	}
	p := r.packages[e.Package]
	fmt.Fprint(s.out, p.build, strings.Join(p.output, "")) //nolint:errcheck // see above
	for _, key := range slices.SortedFunc(maps.Keys(r.tests), func(a, b id) int { return strings.Compare(a.test, b.test) }) {
		if t := r.tests[key]; key.pkg == e.Package && (t.outcome == "fail" || t.outcome == "") {
			for _, line := range t.output {
				if !strings.HasPrefix(line, "=== ") { // which of them ran when
					fmt.Fprint(s.out, line) //nolint:errcheck // see above
				}
			}
		}
	}
}

// again runs those that failed by themselves, unless there is more to it than a test that failed.
func (s *suite) again(ctx context.Context, dir string, r *results, log io.Writer) error {
	var tests []id
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		if r.packages[name].outcome != "fail" {
			continue
		}
		if why := r.fault(name); why != "" {
			r.broken = append(r.broken, name+": "+why)
			continue
		}
		tests = append(tests, r.failed(name)...)
	}
	if len(tests) > atMost {
		return nil
	}
	for _, key := range tests {
		if err := s.alone(ctx, dir, key, r, log); err != nil {
			return err
		}
	}
	return nil
}

// alone runs one test up to twice.
func (s *suite) alone(ctx context.Context, dir string, key id, r *results, log io.Writer) error {
	for n := range attempts {
		fmt.Fprintf(s.out, "again: %s\n", key) //nolint:errcheck // a terminal that is gone
		one := newResults()
		if err := s.test(ctx, dir, one, log, "-count=1", "-run", pattern(key.test), key.pkg); err != nil {
			return err
		}
		r.secrets = append(r.secrets, one.secrets...)
		t := one.tests[key]
		switch {
		case one.pack(key.pkg).raced:
			r.broken = append(r.broken, key.pkg+": a data race, when "+key.test+" was run again")
			return nil
		case t != nil && t.outcome == "pass" && one.pack(key.pkg).outcome == "pass":
			r.passed(key, n+1)
			return nil
		}
	}
	return nil
}

// pattern matches that test alone.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
