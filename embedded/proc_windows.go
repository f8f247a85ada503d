package embedded

import (
	"errors"
	"os"
	"strconv"
	"syscall"
)

func executable() (string, error) { return os.Executable() }

func detached() *syscall.SysProcAttr {
	const detachedProcess = 0x00000008
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess}
}

// tied cannot tie mongod to the watcher here; see the package comment.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{HideWindow: true} }

// shedFiles has nothing to do: handles are inherited by name only.
func shedFiles() {}

// terminate has no gentle form; the journal makes a killed mongod recoverable.
func terminate(p *os.Process) error { return p.Kill() }

func freeze(*os.Process) error { return errors.ErrUnsupported }

func frozen(int) bool { return false }

func thaw(*os.Process) {}

func exitStatus(s *os.ProcessState) (int, string) {
	if s == nil {
		return -1, ""
	}
	return s.ExitCode(), ""
}

func startTime(pid int) string {
	const queryLimited = 0x1000
	h, err := syscall.OpenProcess(queryLimited, false, uint32(pid)) //nolint:gosec // a process number
	if err != nil {
		return ""
	}
	defer syscall.CloseHandle(h) //nolint:errcheck // nothing to do
	var code uint32
	if err := syscall.GetExitCodeProcess(h, &code); err != nil || code != 259 { // STILL_ACTIVE
		return ""
	}
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return ""
	}
	return strconv.FormatInt(created.Nanoseconds(), 10)
}
