// Package schedule runs scripts by the clock: by a cron expression, at an interval, or once.
//
//	nightly := schedule.Schedule{Name: "nightly", Script: "report", Cron: "30 2 * * *", Zone: "Europe/Berlin"}
//	scheduler := schedule.New(app, &schedule.Options{Schedules: []schedule.Schedule{nightly}})
//	err := scheduler.Run(ctx) // beside app.Serve(ctx, …), which performs what is queued
//
// # Slots and occurrences
//
// A schedule names slots: instants that every process computes alike. What becomes of a slot is its occurrence: it fired, and
// its run succeeded or failed, or it was skipped, and why. (schedule, slot) is unique.
//
// # How a slot fires once
//
// A schedule is one document, and a decision on it is one write under a filter on its version. That write moves the mark up
// to which slots are decided on, and puts what was decided into the same document: which slots fire, with the IDs of their
// runs, and which are skipped. Whoever loses the race for the write has decided nothing.
//
// Only then the occurrence is recorded and the run queued, both under the ID that stands in the document, so that doing it
// twice is doing it once. If the process dies in between, another one finds what is open after three seconds and completes
// it. When the run has ended, the occurrence gets its outcome and leaves the document.
//
// There is no leader, no lock and no transaction; it works on a standalone server too. The server's clock says what is due.
// Should it be set back, the mark stays: nothing fires twice, and nothing at all until the clock has caught up.
//
// # What is not promised
//
// A run begins when a process that serves the queue has room for it. An interrupted run of a script that can't resume is not
// repeated: its occurrence is interrupted. A process that is stopped between two writes for longer than the history is kept
// could queue a run again whose records have been deleted meanwhile.
package schedule
