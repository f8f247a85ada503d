package faultrig

import (
	"testing"
	"time"
)

// Last lets a fault, or the quiet that is looked at, go on for a while. It is for lengths of time that are part of what is tested; what
// can be told by an event is waited for with [Eventually].
func Last(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
