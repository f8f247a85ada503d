// Package conn gives a program one shared MongoDB client and counts who uses
// it.
//
// A [Source] names a deployment and holds at most one client for it. Acquire
// hands out a counted [Ref]; the last Release disconnects:
//
//	source := conn.New(conn.Config{})
//	err := source.With(ctx, func(ctx context.Context, ref *conn.Ref) error {
//		_, err := ref.DB().Collection("users").InsertOne(ctx, user)
//		return err
//	})
//
// The URI is taken from Config.URI, else from MONGODB_URI, else from MONGO_URI,
// else it is [DefaultURI]. Whatever it says, writes and reads are acknowledged
// by a majority: a weaker setting is overridden with a warning.
//
// Failures are of type [*Error]: what went wrong, why, and how to fix it.
// Passwords appear in no error, log or status.
//
// # Deadlines
//
// Config.Timeout bounds an operation whose context has no deadline of its own,
// and the driver lets a context's deadline replace it. Work that runs under a
// long deadline and must still notice a frozen server soon should be cancelled
// by a timer instead of carrying the deadline in its context.
package conn
