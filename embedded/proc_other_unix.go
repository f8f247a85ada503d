//go:build unix && !linux

package embedded

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func executable() (string, error) { return os.Executable() }

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// tied cannot tie mongod to the watcher here. A watcher that is killed leaves
// mongod behind; the next Start on the same Dir ends it.
func tied() *syscall.SysProcAttr { return nil }

// frozen takes the signal's word for it.
func frozen(int) bool { return true }

func startTime(pid int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ps", "-o", "lstart=", "-p", strconv.Itoa(pid)) //nolint:gosec // a number
	cmd.Env = []string{"LC_ALL=C", "PATH=/bin:/usr/bin"}
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
