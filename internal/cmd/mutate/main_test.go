package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The mutations themselves take minutes, and are tried by `make prove`. That each can still be made is seen at once.
func TestTheTableIsUpToDate(t *testing.T) {
	t.Parallel()
	for _, m := range all() {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", m.file))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if n := strings.Count(string(data), m.old); n != 1 {
			t.Errorf("%s: %s has the text %d times, not once", m.name, m.file, n)
		}
		for run := range strings.SplitSeq(m.run, "|") {
			name, _, _ := strings.Cut(run, "/")
			if !tests(t, m.pkg, name) {
				t.Errorf("%s: %s has no %s", m.name, m.pkg, name)
			}
		}
	}
}

// tests tells whether a package has a test of that name.
func tests(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "func "+name) {
			return true
		}
	}
	return false
}
