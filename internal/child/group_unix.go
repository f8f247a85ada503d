//go:build unix

package child

import (
	"errors"
	"syscall"
)

// ask tells the whole group to end. A group that is gone already is no error.
func (p *process) ask() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) }

// kill ends the whole group.
func (p *process) kill() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// alive tells whether anything is left in the group. As long as something is, its number isn't given to another.
func (p *process) alive() bool {
	pgid := p.cmd.Process.Pid
	if err := syscall.Kill(-pgid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	return anyLiving(pgid)
}
