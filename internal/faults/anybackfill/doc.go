// Package anybackfill makes backfills at random, runs them on a real server, and judges what became of the documents.
//
// A [Case] is a collection (documents of every type, indexes, a validator, a collation), a script (a filter and a pipeline, an update, a
// function, or rows), and a history: what happens while the script runs, and what people do afterwards. It follows from its seed alone.
//
// The judge shares no code with package backfill. What a change does to a document it asks the server, one document at a time, on a copy
// of the collection; what rows do it computes by itself. It compares raw bytes by _id: each document is changed exactly once or refused with a
// recorded reason, an undo gives back the bytes from before, a dry run changes nothing, the counts are true, and everything ends in time.
//
// A case that fails is made smaller for as long as it still fails, and printed. The variable RIKKI_ANYBACKFILL says what is run:
//
//	RIKKI_ANYBACKFILL=1234       this seed
//	RIKKI_ANYBACKFILL=30m        new seeds for half an hour
//	RIKKI_ANYBACKFILL=@case.json a case that was printed
//
// Without it, fixed seeds are run for a minute at most.
package anybackfill
