//go:build unix

package backfill_test

import (
	"syscall"
	"testing"
)

// namedPipe makes one that nobody writes to.
func namedPipe(t *testing.T, path string) string {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
