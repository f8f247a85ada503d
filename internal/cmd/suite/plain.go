package main

import (
	"bytes"
	"context"
	"go/build/constraint"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// withoutRace runs the tests that the race detector's build leaves out, if there are any, and those of them that failed again.
func (s *suite) withoutRace(ctx context.Context, dir string, r *results, log io.Writer) error {
	packages, tests, err := leftOut(dir)
	if err != nil || len(tests) == 0 {
		return err
	}
	plain, own := *s, newResults()
	plain.race = false
	args := []string{"-shuffle=on", "-run", "^(" + strings.Join(tests, "|") + ")$"}
	if err := plain.test(ctx, dir, own, log, append(args, packages...)...); err != nil {
		return err
	}
	if err := plain.again(ctx, dir, own, log); err != nil {
		return err
	}
	r.add(own)
	return nil
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// leftOut are the tests of a module in files that are not built with the race detector, and their packages.
func leftOut(dir string) (packages, tests []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir:
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || skipped(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // a test file of ours
		if err != nil || !withoutRaceOnly(text) {
			return err
		}
		name, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		packages = append(packages, "./"+filepath.ToSlash(name))
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			tests = append(tests, string(m[1]))
		}
		return nil
	})
	slices.Sort(packages)
	return slices.Compact(packages), tests, err
}

// withoutRaceOnly tells whether a file is built without the race detector, and not with it.
func withoutRaceOnly(text []byte) bool {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("package ")) {
			break
		}
		expr, err := constraint.Parse(strings.TrimSpace(string(line)))
		if err != nil {
			continue // another comment
		}
		built := func(race bool) bool { return expr.Eval(func(tag string) bool { return tag != "race" || race }) }
		return built(false) && !built(true)
	}
	return false
}

// skipped tells whether a directory has no packages of ours.
func skipped(name string) bool {
	return slices.Contains([]string{"bin", "testdata", "node_modules"}, name) || strings.HasPrefix(name, ".")
}
