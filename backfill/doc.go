// Package backfill changes the documents of a collection, each exactly once: fast, paced, resumable and undoable.
//
//	// LowercaseEmails writes e-mail addresses in lower case.
//	type LowercaseEmails struct{}
//
//	func (*LowercaseEmails) Backfill() backfill.Options {
//		return backfill.Options{Collection: "users"}
//	}
//
//	func (*LowercaseEmails) Change(ctx context.Context, u User) (backfill.Change, error) {
//		return backfill.Set("email", strings.ToLower(u.Email)), nil
//	}
//
//	func main() { cli.Main(backfill.New[User](&LowercaseEmails{})) }
//
// [New] takes a function of each document, [NewBatch] one of each chunk of documents, [NewPipeline] an aggregation pipeline
// that the server applies.
//
// # How a document is processed exactly once
//
// The greatest key of the moment is where the walk ends. Up to there the keys are cut into partitions, each with a document of
// its own in Rikki's database that holds its cursor. A worker does a partition chunk by chunk, each in one transaction: it reads
// the next documents behind the cursor, moves the cursor, changes the documents, writes the undo journal, counts, and commits
// with majority.
//
//   - Moving the cursor is the first write, under a filter on the epoch of the run's owner and the number of the chunk. A worker
//     that has lost the run, or whose chunk was done already, matches nothing, and its transaction ends there.
//   - The cursor and the changes are committed together or not at all. Whatever dies when, the next owner goes on at the cursor.
//   - A commit whose answer is lost is never taken for a failure: the cursor is read, and tells.
//
// Only effects in the same MongoDB cluster, through the [Change] or [DB], are part of that. A call to another service from within
// Change may happen more than once.
//
// # Trouble
//
// Transient errors are tried again with back-off. A chunk that is too large or too slow is halved. A document that can't be
// changed is found by its error or by halving the chunk, recorded as a failure, and passed by; too many of them pause the run
// ([Options.MaxFailures]).
//
// # Order
//
// Keys are walked in MongoDB's order of all of BSON, so _ids of mixed types are all visited. Documents that are inserted behind
// the end of the walk while it goes on are not visited; those inserted before it are, unless the cursor has passed them.
package backfill
