// Command launch runs a program and prints what it took, as JSON.
//
// It is a program of its own because on Linux the peak memory of a child
// counts that of the process that started it: whoever measures must be smaller
// than what is measured.
package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"time"
)

// usage is what one execution took.
type usage struct {
	Wall   time.Duration `json:"wall"`
	CPU    time.Duration `json:"cpu"`
	RSS    int64         `json:"rss"` // bytes, 0 where it is unknown
	Output string        `json:"output"`
	Error  string        `json:"error,omitempty"`
}

func main() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...) //nolint:gosec,noctx // the caller's own program and limit
	start := time.Now()
	out, err := cmd.CombinedOutput()
	u := usage{Wall: time.Since(start), Output: string(out)}
	if err != nil {
		u.Error = err.Error()
	}
	if state := cmd.ProcessState; state != nil {
		u.CPU = state.UserTime() + state.SystemTime()
		u.RSS = peakRSS(state)
	}
	if err := json.NewEncoder(os.Stdout).Encode(u); err != nil {
		os.Exit(1)
	}
}
