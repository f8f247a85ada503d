package vet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/tools/go/analysis"

	"github.com/rikki-go/rikki/internal/audit/vet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const source = "testdata/byhand/byhand.go"

// wanted are the lines of the source that say so.
func wanted(t *testing.T) []int {
	t.Helper()
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for i, line := range strings.Split(string(data), "\n") {
		if strings.HasSuffix(line, "// want") {
			lines = append(lines, i+1)
		}
	}
	return lines
}

func TestAnalyzerIsValid(t *testing.T) {
	t.Parallel()
	if err := analysis.Validate([]*analysis.Analyzer{vet.New()}); err != nil {
		t.Error(err)
	}
}

func TestGoVet(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "rikki-audit.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "../../../cmd/rikki-audit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "vet", "-vettool="+tool, "./testdata/byhand").CombinedOutput()
	if err == nil {
		t.Error("go vet has nothing to say")
	}
	var got []int
	for _, found := range regexp.MustCompile(`byhand\.go:(\d+):\d+: mongo\.Connect connects by hand; make the work`).FindAllSubmatch(out, -1) {
		line, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(wanted(t), got); diff != "" {
		t.Errorf("%s\ngo vet says\n%s", diff, out)
	}
}
