//go:build !unix

package child

import (
	"context"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return nil }

// ask does nothing: there is no signal that a program could answer.
func (p *process) ask() {}

// kill ends the tree of processes.
func (p *process) kill() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tree := exec.CommandContext(ctx, "taskkill", "/T", "/F", "/PID", strconv.Itoa(p.cmd.Process.Pid)) //nolint:gosec // a number
	if tree.Run() != nil {
		_ = p.cmd.Process.Kill() // it may have ended meanwhile
	}
}

// alive can't tell what the program has left behind.
func (p *process) alive() bool { return false }
