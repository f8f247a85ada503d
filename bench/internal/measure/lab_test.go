package measure_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A program that fails is told of with its own words.
func TestOutputOfAProgramThatFails(t *testing.T) {
	t.Parallel()
	lab := &measure.Lab{Dir: t.TempDir(), News: io.Discard}
	_, err := lab.Output(t.Context(), time.Minute, "", "go", "no-such-command")
	if err == nil || !strings.Contains(err.Error(), "exit status") || !strings.Contains(err.Error(), "no-such-command") {
		t.Errorf("%v", err)
	}
	if out, err := lab.Output(t.Context(), time.Minute, "", "go", "env", "GOOS"); err != nil || len(out) == 0 {
		t.Errorf("%q, %v", out, err)
	}
}
