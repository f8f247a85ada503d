//go:build unix

package embedded

import (
	"os"
	"strconv"
	"syscall"
)

// shedFiles lets no file but the standard three reach the next program. A
// shell's pipe that mongod held open would keep its reader waiting.
func shedFiles() {
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range list {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) { _ = p.Signal(syscall.SIGCONT) }

// exitStatus returns the exit code, or -1 and the signal's name.
func exitStatus(s *os.ProcessState) (int, string) {
	if s == nil {
		return -1, ""
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return -1, w.Signal().String()
	}
	return s.ExitCode(), ""
}
