package backfill

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// connect begins the session that the worker works in.
func (w *worker) connect(ctx context.Context) error {
	session, err := w.client.StartSession()
	if err != nil {
		return fmt.Errorf("starting a session: %w", err)
	}
	w.session, w.stale = session, false
	return w.note(ctx, session)
}

// disconnect ends it.
func (w *worker) disconnect(ctx context.Context) {
	if w.session != nil {
		leave(ctx, w.client, w.session)
	}
	w.session = nil
}

// transact runs body in a transaction of the worker's session. To the driver, a commit that had no answer in time has not been tried:
// the session stays in that transaction and can't begin another one, nor be brought out of it for certain. The next attempt has another
// session then.
func (w *worker) transact(ctx context.Context, c *chunk, body func(context.Context) error) error {
	if w.stale {
		w.disconnect(ctx)
		if err := w.connect(ctx); err != nil {
			return err
		}
	}
	err := transact(ctx, w.session, &c.commit, body)
	w.stale = errors.As(err, new(commitError)) && mongo.IsTimeout(err)
	return err
}
