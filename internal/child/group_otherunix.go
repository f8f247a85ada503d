//go:build unix && !linux

package child

import "syscall"

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// anyLiving believes the signal's answer.
func anyLiving(int) bool { return true }
