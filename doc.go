// Package rikki runs scripts on MongoDB: one-off fixes, backfills, schema
// migrations and scheduled maintenance.
//
// # A script
//
// A script is a struct. Its exported fields are its parameters, its type name
// in kebab-case is its name, and Execute is the work:
//
//	type LowercaseEmails struct {
//		BatchSize int `default:"500" min:"1" help:"Documents per batch."`
//	}
//
//	func (s *LowercaseEmails) Execute(ctx context.Context, run *rikki.Run) (any, error) {
//		users := run.DB().Collection("users")
//		…
//	}
//
// Everything around the work is given: the connection, parameters, a timeout,
// progress, logs and a history of every run. See [Script] for the optional
// hooks and [Options] for what a script can say about itself.
//
// # Starting runs
//
// Package cli turns scripts into a command line with cli.Main. A program of
// one's own uses [App]: [New], [App.Add], [App.Run]. Tests use package
// rikkitest. All of them end in [App.Run]; there is no second path.
//
// # The life of a run
//
// A run parses its parameters, acquires a counted reference to the shared
// connection, and records itself in the history together with a lease. Then
// come [Validator], [Setupper], Execute and, whatever happened, [Cleaner].
// The outcome is recorded and the reference released. One run's failure never
// closes a connection that another run uses.
//
// A run that exceeds [Options.Timeout] is stopped: its context is cancelled,
// its operations on the server are killed, and [Result.Stopped] tells whether
// the script really returned. A panic is a failed run with a stack. A process
// that dies leaves a run that everybody sees as interrupted once its lease
// has expired, by the server's clock.
package rikki
