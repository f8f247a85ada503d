package conn

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A Ref is one counted reference to a Source's client. It is safe for
// concurrent use. After its Release the client must not be used any more.
type Ref struct {
	source  *Source
	link    *link
	release sync.Once
	err     error
}

// Client returns the shared client. Its user never disconnects it.
func (r *Ref) Client() *mongo.Client { return r.link.client }

// DB returns the database that the Config or the URI names.
func (r *Ref) DB() *mongo.Database { return r.link.client.Database(r.link.database) }

// Release gives the reference back. The last one disconnects and returns the
// error of that. A context that has ended does not keep Release from
// disconnecting. Further calls do nothing and return the same.
func (r *Ref) Release(ctx context.Context) error {
	r.release.Do(func() {
		r.err = r.source.redactor.Error(r.source.leave(ctx, r.link))
	})
	return r.err
}

// Transactions returns nil when the deployment has transactions and change
// streams, and an [*Error] that says what to do when it is a standalone server.
func (r *Ref) Transactions() error {
	if r.link.facts.transactions() {
		return nil
	}
	return r.source.standaloneError()
}

// Explain returns an [*Error] that says why no server takes writes, where that
// may be why an operation failed: there is no primary, or the URI leads to a
// secondary alone. Any other error it returns as it is.
func (r *Ref) Explain(err error) error {
	if err == nil {
		return nil
	}
	return r.source.explainWrite(err, r.link.facts)
}
