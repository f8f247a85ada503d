package connlines_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/connlines"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source copies a sample to its real name: as .go in this tree it would be compiled.
func source(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), strings.TrimSuffix(name, ".txt"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name  string
		file  string
		code  int
		lines []int
	}{
		{"GoBefore", "before.go.txt", 28, []int{13, 16, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 34, 35, 36}},
		{"GoAfter", "after.go.txt", 10, []int{15}},
		{"JavaScript", "before.js", 15, []int{6, 10, 11, 12, 13, 14, 15, 20}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := connlines.File(source(t, test.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.lines, got.Lines); diff != "" {
				t.Error(diff)
			}
			if got.Code != test.code || got.Connection != len(test.lines) {
				t.Errorf("%d lines of code, %d about the connection; want %d and %d", got.Code, got.Connection, test.code, len(test.lines))
			}
		})
	}

	t.Run("OtherFilesAreRefused", func(t *testing.T) {
		t.Parallel()
		bad := filepath.Join(t.TempDir(), "bad.go")
		if err := os.WriteFile(bad, []byte("package"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{bad, "doc.txt", "missing.go", filepath.Join("testdata", "before.go.txt")} {
			if _, err := connlines.File(path); err == nil {
				t.Errorf("%s is counted", path)
			}
		}
	})
}

func TestCompare(t *testing.T) {
	t.Parallel()

	c, err := connlines.Compare(source(t, "before.go.txt"), source(t, "after.go.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := "| | lines of code | about the connection |\n|---|---:|---:|\n| before | 28 | 17 |\n| after | 10 | 1 |\n| saved | 18 | 16 (94 %) |\n"
	if diff := cmp.Diff(want, c.Markdown()); diff != "" {
		t.Error(diff)
	}
}
