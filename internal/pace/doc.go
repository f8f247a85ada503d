// Package pace decides how fast a backfill goes: how many documents the next chunk may hold, and whether a worker has to
// wait before it. One [Controller] serves all workers of a run. It reads no clock but the one it is given and knows no
// database: whoever measures tells it.
//
// # Chunk size
//
// The size follows a time: so many documents as fit into [Settings.Target] by what one of them costs. What a chunk takes whatever is in
// it counts for nothing, or the size would fall to one document where the server or its majority is far away. Part of that is known,
// and taken off: the round trips of its commands, and the least that commits took lately. The rest is learnt: a chunk takes a fixed time,
// and a cost for each document, and what chunks of different sizes took tells both. Where the fixed part matters, one chunk in a
// dozen is smaller than the others, to learn from it. Sizes go by the lower end of what a document may cost: where a smaller chunk wasn't
// faster, the next ones are larger.
//
// Where the fixed part is longer than the target, documents may take half as long as it, up to ten times the target. There are at least
// 50 documents, unless these take five times the target. A step is at most double or half, and is only taken on the word of a chunk that
// had the present size, so that many workers together step no faster than one. A chunk that came out small, because its partition or
// its bytes were used up, doesn't count unless it was slow.
//
// # Workers
//
// Where most of a chunk's time goes by on the link, more of them are under way ([Controller.Workers]), so that the server has as much to
// do as with one that is near: up to [Settings.MostWorkers], unless an override says how many.
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
// chunk at a time, of [GentleTarget], and a rest after it. Over a link there may be more, as most of them are on their way. It begins at the first look that finds others, and ends after three in
// a row that find none. Waiting for it isn't counted as being throttled.
//
// # Slow commits
//
// Only chunks measure the latency of commits, so there would be no news while all workers wait. When it is too high, one chunk at
// a time goes through as a probe, at growing intervals; two good ones in a row end the wait.
package pace
