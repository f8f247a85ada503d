package rikki

import (
	"context"
	"time"
)

// A Script is a piece of work on a MongoDB database, usually a pointer to a
// struct whose exported fields are the script's parameters. Every run gets a
// copy of its own, so parallel runs share nothing.
//
// A script may also implement [Configured], [Validator], [Setupper] and
// [Cleaner]; each is one method.
type Script interface {
	// Execute does the work. Its result is shown to the caller and kept in
	// the history; it must be encodable as JSON, and nil is fine. The context
	// is cancelled when the run times out, is stopped or loses its lease.
	Execute(ctx context.Context, run *Run) (any, error)
}

// Configured is implemented by scripts that want other than the default
// [Options].
type Configured interface {
	Options() Options
}

// Validator is implemented by scripts that check their parameters and the
// database before anything is changed. All findings are collected: errors
// stop the run before Setup, warnings are logged and kept in the history.
type Validator interface {
	Validate(ctx context.Context, run *Run, findings *Findings)
}

// Setupper is implemented by scripts that prepare something before Execute
// and want the preparation told apart from the work.
type Setupper interface {
	Setup(ctx context.Context, run *Run) error
}

// Cleaner is implemented by scripts that must tidy up. Cleanup runs once
// Setup has begun, also after a failure, a timeout, a panic or a stop, with a
// fresh context that ends after [Options.CleanupTimeout].
type Cleaner interface {
	Cleanup(ctx context.Context, run *Run) error
}

// Wrapper is implemented by scripts whose parameters live in another value,
// such as those that [Func] and [FuncOf] make. Scripts that are plain structs
// have no use for it.
type Wrapper interface {
	Script

	// Fresh returns a copy for one run, and a pointer to the struct that
	// receives the run's parameters, or nil if there are none.
	Fresh() (script Script, params any)
}

// Default values of [Options].
const (
	DefaultTimeout        = 5 * time.Minute
	DefaultCleanupTimeout = 10 * time.Second
	DefaultGrace          = 10 * time.Second
)

// Options is what a script says about itself. The zero value means the
// defaults.
type Options struct {
	// Name replaces the name derived from the type. Lower-case letters,
	// digits and dashes.
	Name string

	// Description is one sentence for lists and help.
	Description string

	// Hidden leaves the script out of [App.Scripts], and so of every list. It can be
	// run by its name all the same.
	Hidden bool

	// Timeout bounds Validate, Setup and Execute together. Zero means
	// [DefaultTimeout], a negative value no timeout.
	Timeout time.Duration

	// CleanupTimeout bounds Cleanup. Zero means [DefaultCleanupTimeout].
	CleanupTimeout time.Duration

	// Drain is how long Execute may go on after it was asked to stop
	// ([Run.Stopping]) before its context is cancelled. Zero cancels at once.
	// A loop that finishes its current batch on Stopping wants some seconds.
	Drain time.Duration

	// Grace is how long a script may take to return once its context is
	// cancelled, before the run is reported as not stopped. Zero means
	// [DefaultGrace].
	Grace time.Duration

	// Concurrency is how many runs of this script may be under way at a time,
	// over all processes that share the history. Zero means one, a negative
	// value any number. A run over the limit fails with
	// [*AlreadyRunningError].
	Concurrency int

	// Resumable says that the script keeps checkpoints ([Run.Checkpoint]) and
	// goes on from the last one. Only then can its runs be paused and resumed,
	// and taken over by another process when theirs has died.
	Resumable bool

	// NeedsHistory says that the script can't do its work without a record: where
	// there is to be none, or the account may not write it, a run doesn't begin,
	// instead of going on without. Dry runs go on.
	NeedsHistory bool

	// Retry says whether Setup and Execute are tried again after a transient
	// error. By default they are not.
	Retry RetryPolicy

	// Retention says how long the script's runs are kept, where that shall
	// differ from [Config.Retention].
	Retention Retention

	// DryRun says that the script honours [Run.DryRun] by itself. Its dry run
	// then runs as it is, and every write is refused. Without it, a dry run
	// executes the script in a transaction that is aborted at the end. Either
	// way only what goes through the [Run] is held back, not what the script
	// does elsewhere.
	DryRun bool
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.CleanupTimeout <= 0 {
		o.CleanupTimeout = DefaultCleanupTimeout
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	if o.Concurrency == 0 {
		o.Concurrency = 1
	}
	return o
}
