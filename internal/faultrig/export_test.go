//go:build linux

package faultrig

import "time"

// CheckFault tells whether a fault could be set.
func CheckFault(f Fault) error {
	_, err := f.doc()
	return err
}

// ReachedWithin is ReachedPoint with another limit.
func (p *Process) ReachedWithin(limit time.Duration) (name string, ok bool) {
	return p.reachedWithin(limit)
}
