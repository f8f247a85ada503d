package embedded

import (
	"bytes"
	"fmt"
	"os"
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
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything; fields are counted after it.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return ""
	}
	f := bytes.Fields(b[i+1:])
	if len(f) < 20 || string(f[0]) == "Z" || string(f[0]) == "X" {
		return ""
	}
	return string(f[19])
}
