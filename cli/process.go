package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/rikki-go/rikki"
)

// SignalError is the cause with which [App.Main] cancels its context. It is a [rikki.ErrInterrupted].
type SignalError struct {
	Signal os.Signal
}

func (e *SignalError) Error() string { return "stopped by signal: " + e.Signal.String() }

// Is makes a SignalError an interruption.
func (e *SignalError) Is(target error) bool { return target == rikki.ErrInterrupted }

// exit is the code by which shells know a program that a signal ended.
func (e *SignalError) exit() int {
	if e.Signal == syscall.SIGTERM {
		return ExitSIGTERM
	}
	return ExitSIGINT
}

// process runs the command line of this process: its arguments, streams, environment and signals.
func (a App) process(run func(context.Context, *App, []string, Stdio) int) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stop := watchSignals(cancel)
	defer stop()
	a.exports = true
	return run(ctx, &a, os.Args[1:], Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

// watchSignals cancels with the first signal and ends the process with the second. SIGQUIT keeps its meaning.
func watchSignals(cancel context.CancelCauseFunc) (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// Without this, a reader that goes away (`run … 2>&1 | head`) would kill the run. Notify rather than Ignore,
	// because an ignored signal stays ignored in the processes that this one starts.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case first := <-signals:
			cancel(&SignalError{first})
		case <-done:
			return
		}
		select {
		case second := <-signals:
			// The lease is left to expire: until then nobody else may start this script, for what was under way may
			// still be going on at the server.
			fmt.Fprintln(os.Stderr, "\nExiting now. A run that this process was executing will show as interrupted once its lease has expired.")
			os.Exit((&SignalError{second}).exit())
		case <-done:
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		wait.Wait()
	}
}
