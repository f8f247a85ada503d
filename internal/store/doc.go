// Package store reads and writes Rikki's own collections, and is the only one that does.
//
// # One document per run, lease included
//
// A run is one document in the collection "runs". Its lease lives in the same document, so no run can be active with its
// lease record gone, and no transaction is needed: the store works on a standalone server too.
//
//	{ _id: "r_…", script, state: "running", slot: "lowercase-emails/0",
//	  lease: { owner: {host, pid, instance}, epoch: 1, expires, renewed }, … }
//
// The field slot exists only while the run occupies a place, and a unique index covers it. Inserting the record, taking
// the lease and keeping the limit of concurrent runs are therefore one atomic write. A script that may run three times at
// once has the slots script/0, script/1 and script/2; one without a limit has script/RUN.
//
// # Start is one round trip
//
// [Store.Start] upserts by slot with a pipeline. Whatever it finds, the server decides by its own clock ($$NOW):
//
//	slot is free                → our run is inserted, with its lease       → it is ours
//	held, lease alive           → nothing changes, the holder is returned   → [BusyError]
//	held, lease expired         → the holder becomes interrupted, its epoch
//	                              grows, the slot is freed                  → try again
//
// The upsert names the slot's index as a hint. A server without that index refuses it, and only then are the indexes
// created, the slot's index after those of the lists: where it exists, they do. A normal start neither builds nor lists anything. The
// index carries the version of the schema in its name.
//
// # The queue
//
// A queued run is the same document in an earlier state. It has the field ready while a process that serves the queue may
// take it, and a partial index over such runs is in the order in which they are taken. [Store.Claim] takes the run, its slot
// and the next epoch in one write. An interrupted run becomes ready again when it came through the queue and its script
// keeps checkpoints, or has not begun.
//
// Whether it has is what the field unbegun says, for scripts that keep none: taking the run sets it, and [Store.Begin] removes it
// in a write of its own, which the majority has before the script's first line. A process that dies in between has done
// nothing, so the run is taken again from its beginning; one that dies behind it may have done anything, so it never is.
//
// [Store.Claim] takes several runs in one command and reads back which it got. A [Group] sends what several runs of one process write at
// the same time in one command: half of a small write's cost at the server is the command and its wait for the majority.
//
// # Control
//
// [Store.Control] asks a living owner, by a state that the owner learns with its next look; where nobody owns the run, or the
// lease has expired, it makes the change itself and raises the epoch. One pipeline does both, so nothing can happen in
// between. An owner that lets its run rest never undoes what was asked meanwhile. Each change adds an entry to the
// collection "audit".
//
// # Invariants
//
//   - Epochs only grow. Every change that an owner makes filters on the run's _id, its epoch and the states that the table
//     in states.go allows as an origin; nothing is updated by _id alone. A process that lost its lease changes nothing: its filter does
//     not match any more, and it gets [ErrLeaseLost].
//   - Expiry affects speed, never safety. It says when others may take over; the epoch makes that safe.
//   - Only the server's clock is compared with the server's times. A host's clock appears in ids and log records alone,
//     where it decides nothing.
//   - A final state never changes. A run that was stuck when its record was closed keeps its slot, not its state, open.
//   - Everything is written with w:majority and read with majority from the primary, whatever the URI says: an
//     acknowledged start, heartbeat or end survives a fail-over.
//   - Readers are honest before any sweep: a run whose lease has expired on the server's clock reads as interrupted.
//
// # What is not promised
//
// A lost answer to [Store.Start] on a standalone server, where the driver can't retry safely, may leave a run that nobody
// keeps; it reads as interrupted after its TTL. [Store.AppendLogs] doesn't check the epoch: a process that lost its lease
// may still add log records, and they belong to what it did.
package store
