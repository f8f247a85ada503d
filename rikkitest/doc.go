// Package rikkitest tests scripts on a real MongoDB.
//
//	func TestLowercaseEmails(t *testing.T) {
//		t.Parallel()
//		db := rikkitest.DB(t)
//		… insert what the script shall find …
//		result := rikkitest.Run(t, db, &LowercaseEmails{BatchSize: 2})
//		… look at result and db …
//	}
//
// [Chaos] kills a resumable script again and again, and compares what it did
// with an undisturbed run.
//
// Nothing needs to be installed: the first test of a binary starts a one-node
// replica set with package embedded, which ends with the binary. Every test
// gets a database of its own, so tests may run in parallel. The variable
// RIKKI_TEST_URI names a server to use instead. Where no mongod can be had,
// tests are skipped with the reason, or fail if the variable CI is set.
package rikkitest
