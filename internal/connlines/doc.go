// Package connlines counts how many lines of a script are about its connection rather than its work: the URI,
// connecting, checking, disconnecting, and the handling of their errors. It measures what Rikki takes away.
//
// The rules favour neither side and are mechanical. In Go a statement counts when it mentions one of the connection's
// names (mongo.Connect, options.Client, ApplyURI, Ping, Disconnect, a MONGODB_URI variable, Database, or Rikki's own
// Run.Client and Run.DB), with the error check that follows it and the deferred function around it; of compound
// statements only the lines that match, not the work inside. A function that returns a *mongo.Client counts as a
// whole. In JavaScript a line counts when it mentions the connection, with the block it opens. Blank lines, comments
// and imports count on neither side.
package connlines
