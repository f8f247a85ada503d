// Package faultrig makes things go wrong on purpose, and tells whether what had to hold did hold. It is for this
// repository's tests only, and for Linux.
//
//	func TestMain(m *testing.M) { os.Exit(faultrig.Main(m, faultrig.Workers{"serve": serve})) }
//
//	func TestX(t *testing.T) {
//		set := faultrig.Borrow(t)                       // three real mongods, healed when the test is over
//		p := faultrig.Start(t, "serve", args{…})        // the function serve in a process of its own
//		p.Await(t, "ready")
//		set.Kill(set.Primary())
//		…
//		faultrig.ExactlyOnce(t, coll)
//	}
//
// What it has:
//
//   - Servers: [ReplicaSet], [Borrow] and [Node] are real mongods that can be killed, frozen, stepped down and held back.
//   - Fail points: [FailCommand] makes a server answer with an error, or apply a command and say that it doesn't know.
//   - Network: [Proxy] and [Routes] stand between a client and the servers.
//   - Processes: [Start] runs a function of the test binary in a process of its own, which can be killed, frozen and
//     made to stop at a named point of the code (package point).
//   - Invariants: [ExactlyOnce], [Contiguous], [History], [NoDeadLeases], [Majority], [CheckNothingLeft].
//
// A fault that did not happen proves nothing. So whatever injects one can tell how often it did: [Fault] counts, a
// [Process] reports the point at which it stands, Freeze returns when every thread has stopped, and a proxy counts what it did
// to whom. Tests are expected to look, and to have a negative control: naive code that the same fault breaks.
package faultrig
