package embedded

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// executable names the running program's file. The link works even after the
// file was deleted or replaced, as "go run" and upgrades do.
func executable() (string, error) { return "/proc/self/exe", nil }

// detached puts a process in a session of its own: a Ctrl-C in the terminal
// reaches the script, not the server under it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// tied lets the kernel kill mongod when its parent thread ends, whatever ends it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// startTime identifies a process beyond its reusable number: clock ticks since
// boot, or "" when there is no such process.
func startTime(pid int) string {
	f := stat(fmt.Sprintf("/proc/%d/stat", pid))
	if len(f) < 20 {
		return ""
	}
	if f[0] == "Z" || f[0] == "X" {
		// Its first thread has ended. While others have not, it has its files,
		// its locks and its port.
		if threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err != nil || len(threads) <= 1 {
			return ""
		}
	}
	return f[19]
}

// frozen says whether every thread of a process has stopped: the signal
// returns before the last one has.
func frozen(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, t := range threads {
		if f := stat(t); len(f) > 0 && f[0] != "T" && f[0] != "t" {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// stat returns the fields of a stat file from the state on. The name before
// it, in parentheses, may hold anything.
func stat(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}
