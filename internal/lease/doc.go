// Package lease keeps a lease alive and tells its holder in time that it must stop.
//
// It knows neither MongoDB nor runs: it calls a function that renews, on time, and derives a context that dies with the
// lease. The lease itself, and who may take it, is the matter of internal/store.
//
// # Three clocks, never mixed
//
//   - The server's clock ($$NOW) decides when a lease has expired. It is read by the server, in the statement that depends
//     on it. No host's clock is ever compared with it.
//   - The host's monotonic clock bounds how long the holder trusts its lease without news. It measures durations only, and
//     doesn't notice when somebody sets the time.
//   - The host's wall clock stamps log records and ids. It decides nothing.
//
// # The trust window
//
// A renewal that was begun at b on the monotonic clock reached the server at some moment after b. So the server lets the
// lease live until at least b + TTL, whatever time the answer took. The holder trusts it until
//
//	b + TTL - Margin
//
// counted from the beginning of the last attempt that succeeded. A slow answer earns nothing: one that comes after the
// window of its own attempt has ended is worthless, even though it says yes.
//
//	began        Every                                      TTL-Margin   TTL
//	 |-------------|------------------------------------------|------------|
//	 taken         1st attempt, retried while it fails        context      the server may
//	                                                          dies         give it away
//
// The margin covers two clocks that run at different speeds and the time that the holder takes to stop.
//
// # Why it is safe
//
// It would be safe without any of this. Each change that a holder makes to its run carries the epoch under which it took
// the lease, and the server applies it only while that epoch is the run's. A process that was frozen, cut off or suspended
// past its lease, and goes on as if nothing had happened, changes nothing there. Expiry and the trust window only affect
// speed: how soon others may take over, and how soon a holder that lost its lease stops wasting work.
//
// What is not promised: between the moment when a frozen process wakes up and the moment when its context dies, its code
// runs on. Writes to other data that are not fenced by the epoch can slip through in that gap. On some systems the
// monotonic clock stands still while a laptop sleeps; the holder then learns of its loss from the first renewal.
//
// # Failure handling
//
//   - A renewal that fails is tried again soon, for as long as it takes: the holder may be draining, and keeping others out
//     meanwhile is worth trying even after the window has ended. The context, once dead, stays dead.
//   - A renewal that answers [ErrLost] is the last one: the lease is somebody else's.
//   - Cancelling the parent context doesn't stop the renewals, because work that is asked to stop still needs its lease
//     until it has stopped. [Keeper.Stop] does.
package lease
