package store

import (
	"context"
	"errors"
	"iter"
)

var errTODO = errors.New("not built yet")

// NewID returns an id for a run.
func NewID() string { return "" }

// EnsureIndexes creates the indexes that are missing.
func (s *Store) EnsureIndexes(ctx context.Context) error { return errTODO }

// Start begins a run. The error is a [*BusyError] when the script's slots are taken.
func (s *Store) Start(ctx context.Context, n NewRun) (Run, error) { return Run{}, errTODO }

// Beat renews the lease.
func (s *Store) Beat(ctx context.Context, id string, epoch int64, b Beat) (Pulse, error) {
	return Pulse{}, errTODO
}

// Move records that the owner's run goes to another active state.
func (s *Store) Move(ctx context.Context, id string, epoch int64, to State) (Run, error) {
	return Run{}, errTODO
}

// Finish ends a run.
func (s *Store) Finish(ctx context.Context, id string, epoch int64, f Finish) (Run, error) {
	return Run{}, errTODO
}

// Release frees the slot of a stuck run whose script has stopped after all.
func (s *Store) Release(ctx context.Context, id string, epoch int64) error { return errTODO }

// Sweep interrupts runs whose owner is gone and returns how many.
func (s *Store) Sweep(ctx context.Context) (int, error) { return 0, errTODO }

// Run returns the run with this id or unique prefix.
func (s *Store) Run(ctx context.Context, id string) (Run, error) { return Run{}, errTODO }

// Latest returns the newest run of a script, or of all scripts when script is "".
func (s *Store) Latest(ctx context.Context, script string) (Run, error) { return Run{}, errTODO }

// Runs lists runs, newest first, without results and stacks.
func (s *Store) Runs(ctx context.Context, f Filter) iter.Seq2[Run, error] { return nil }

// AppendLogs stores records of a run's log.
func (s *Store) AppendLogs(ctx context.Context, id string, logs []Log) error { return errTODO }

// Logs lists the log of a run, oldest first.
func (s *Store) Logs(ctx context.Context, id string, f LogFilter) iter.Seq2[Log, error] { return nil }
