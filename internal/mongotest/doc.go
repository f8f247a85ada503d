// Package mongotest gives tests a real MongoDB: one server per test binary,
// started by the first test that asks, and a database per test.
//
//	func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		db := mongotest.DB(t)
//		…
//	}
//
// The server is a one-node replica set with test commands enabled, run by
// package embedded. The variable RIKKI_TEST_URI names another server to use
// instead; RIKKI_TEST_URI=none skips all tests that need one. Where no mongod
// can be had, tests are skipped with the reason; when the variable CI is set,
// they fail.
package mongotest
