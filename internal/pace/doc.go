// Package pace decides how fast a backfill goes: how many documents the next chunk may hold, and whether a worker has to
// wait before it. One [Controller] serves all workers of a run. It reads no clock but the one it is given and knows no
// database: whoever measures tells it.
//
// # Chunk size
//
// The size follows a time: what a document cost so far, as a moving average that rises faster than it falls, says how many
// fit into [Settings.Target]. The least that commits take lately, whatever is in them, counts for nothing: where the majority is
// far away, the size would fall to one document. For the same reason it doesn't fall below 50 documents, unless these take five times
// the target. A step is at most double or half, and is only taken on the word of a chunk that had the present size, so that many
// workers together step no faster than one. A chunk that came out small, because its partition or its bytes were used up, doesn't
// count unless it was slow.
//
// A chunk that fails as too large or too slow halves the size at once ([Turn.Failed]) and leaves a ceiling behind, at half of what
// failed. It rises after a number of chunks that went well there, fewer with each rise, and twice as many after each failure: the
// size doesn't run into the same wall again and again.
//
// # Waiting
//
// Before each chunk a worker calls [Controller.Next]. It waits while any of these says so, in this order:
//
//   - the window of the day;
//   - a signal above its limit, or one that can't be read: replication lag, flow control, whatever is observed
//     ([Controller.Observe]);
//   - the latency of commits;
//   - the script's own function;
//   - the rate, which all workers share.
//
// A signal pauses after two samples in a row above its limit, or if its first one is, and lets go after two in a row at or
// below it. A signal that can't be read, that
// was never read, or whose last sample is too old pauses too, unless its [Sensor] says that it is to be ignored.
//
// # Making room
//
// While others use the server ([Controller.SetOthers]), and always or never where [Settings.Gentle] says so, the run is gentle: one
// chunk at a time, of [GentleTarget], and a rest after it. It begins at the first look that finds others, and ends after three in
// a row that find none. Waiting for it isn't counted as being throttled.
//
// # Slow commits
//
// Only chunks measure the latency of commits, so there would be no news while all workers wait. When it is too high, one chunk at
// a time goes through as a probe, at growing intervals; two good ones in a row end the wait.
package pace
