package ratelimits_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rikki-go/rikki/rikkitest"
)

// runProgram builds one of the programs and runs it on a database, as a user does.
func runProgram(t *testing.T, dir, database string) (string, error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, dir).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(),
		"MONGODB_URI="+strings.Replace(rikkitest.URI(t), "/?", "/"+database+"?", 1),
		"MONGODB_DATABASE="+database)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
