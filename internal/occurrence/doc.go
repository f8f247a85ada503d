// Package occurrence is the arithmetic of schedules: which instants a schedule names, what they are called, and which of
// them were missed. It is pure: no database, no goroutine, no clock; every function gets the time it needs.
//
// # Slots
//
// A [Plan] names slots: instants in UTC, whole milliseconds, strictly increasing. A slot is an identity, not a moment
// of work: whoever fires a slot stores (schedule, slot) under a unique key, and however many processes, retries or
// clocks set back there are, they all compute the same slots and only one of them gets to insert it. When the work
// starts is another matter: [Plan.Due] adds the jitter of that slot.
//
// There are three kinds. Once is a single instant. Every is an interval from an anchor: anchor + n·every, never from
// the end of the last run, so a slow run does not move the next slot. Cron is five fields (six with seconds, when asked
// for) in one time zone.
//
// # Daylight saving
//
// Cron expressions come in two sorts, by their hour field.
//
// An expression that names hours ("30 2 * * *", "0 8-18 * * *", "0 */6 * * *") speaks of the clock on the wall. Think
// of a clock that never runs backwards: where the real one is set forward it jumps along, where the real one is set
// back it stands still until the real one has caught up. A slot is the first instant at which that clock shows a named
// time or a later one. Hence a wall-clock time that is skipped runs once, at the jump (several skipped times share that one
// slot); a time that is repeated runs once, the first time. This is what cron(8) of Vixie and ISC cron promises for jobs
// that run "at a specific time", without its limit of three hours: the day that Samoa left out in 2011 counts too.
//
// An expression whose hour field is every hour ("*/15 * * * *", "0 * * * *") speaks of time passing: it runs whenever
// the real clock shows a named minute, in both passes of a repeated hour, and not at all for minutes that never
// happened. Running every quarter of an hour must not leave a gap of an hour and a quarter in autumn. Vixie cron draws
// the same line, in its manual (cron(8): jobs that run more frequently than once an hour "are scheduled normally") and in
// its source (cron.c: doWild, MIN_STAR|HR_STAR), with one difference: there a star at the beginning of the minute or the
// hour field makes a job a wildcard; here all 24 hours do, however they are written. So "* 2 * * *" and
// "0 */2 * * *" follow the wall here.
//
// In a zone whose clocks move by half an hour (Lord Howe), "0 * * * *" thus has a real hour and a half between two slots
// in spring; that is what its clocks show.
//
// # Cron syntax
//
// Minute, hour, day of month, month, day of week; lists, ranges, steps, English names; L, L-3, LW, 15W, fri#2, fri#L.
// @yearly (@annually), @monthly, @weekly, @daily (@midnight), @hourly. Sunday is 0 or 7. When both day fields are
// restricted, that is, do not begin with a star, either of them is enough, as in Vixie cron.
//
// Parsing and the walk through the calendar are github.com/netresearch/go-cron's, on a plain calendar without a zone.
// Its own zone handling fires a repeated hour twice and moves skipped times into the following hour, so the step from
// wall clock to instant is done here.
package occurrence
