package schedule

import (
	"fmt"

	"github.com/rikki-go/rikki/internal/store"
)

// Crash lets the scheduler give up what it does for a schedule whenever fn returns an error at a named point, as a crash would.
func Crash(s *Scheduler, fn func(point string) error) { s.crash = fn }

// ErrCrash is what fn returns.
var ErrCrash = fmt.Errorf("crashed: %w", store.ErrConflict)
