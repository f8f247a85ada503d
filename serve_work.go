package rikki

import (
	"context"
	"log/slog"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// perform runs what was taken, in a goroutine of its own.
func (s *server) perform(ctx context.Context, run store.Run, began time.Time) {
	s.report(func(st *ServeStatus) {
		st.Active++
		s.busy++
	})
	s.workers.Go(func() {
		left := false
		h := &hold{run: run, began: began, source: s.source, writer: s.group, drain: s.opts.Grace}
		h.ended = func() { left = s.leaveEarly(run.Script) }
		result, err := s.app.goOn(ctx, h, RunOptions{Observers: s.opts.Observers})
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelWarn
		}
		attrs := []any{keyRun, run.ID, keyScript, run.Script, "attempt", run.Attempt}
		if result != nil {
			attrs = append(attrs, "state", string(result.State), "took", result.Duration.String())
		}
		if err != nil {
			attrs = append(attrs, "error", err)
		}
		s.log.Log(ctx, level, "run ended", attrs...)
		s.report(func(st *ServeStatus) {
			st.Active--
			if !left {
				s.busy--
			}
			if result != nil && !result.Stopped {
				s.stuck++
			}
		})
		if !left {
			poke(s.freed) // the next one can begin
		}
	})
}

// leaveEarly frees the place of a run whose script has ended before its end is recorded: the next ones are taken meanwhile, with
// the same flush of the server's journal. It doesn't where the record holds one of a limited number of slots, which the next run
// may need, nor while as many ends as there are workers wait already.
func (s *server) leaveEarly(script string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claim.Scripts[script] >= 0 || s.status.Active-s.busy >= s.opts.Workers {
		return false
	}
	s.busy--
	poke(s.freed)
	return true
}

func (s *server) idle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Workers - s.busy
}

func (s *server) active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.Active
}
