package backfill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/internal/point"
)

const (
	// attemptLimit bounds one attempt at a chunk. It is below the server's limit of 60 s for a transaction, and short enough
	// for a primary that stands still to be noticed.
	attemptLimit = 30 * time.Second
	// commitLimit bounds one call of the commit, and commitPatience all of them. Whatever is not known then is looked up.
	commitLimit    = 10 * time.Second
	commitPatience = 20 * time.Second
	abortLimit     = 5 * time.Second
	// stopLimit bounds each of these when the run has been told to stop at once: its process has some seconds left altogether. What
	// isn't known then, or isn't ended, the next owner looks up and ends.
	stopLimit = 2 * time.Second
)

// within bounds one of the last things that a worker does, whatever has become of its context.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		limit = min(limit, stopLimit)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	hurried := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(hurried)
		timer := time.NewTimer(stopLimit)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-bounded.Done():
		}
	})
	return bounded, sync.OnceFunc(func() {
		cancel()
		if !undo() {
			<-hurried
		}
	})
}

// transaction is how Rikki's are, whatever the URI says.
func transaction() *options.TransactionOptionsBuilder {
	return options.Transaction().
		SetReadConcern(readconcern.Snapshot()).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(writeconcern.Majority())
}

// transact runs body in one transaction. An error of the commit that leaves open what happened is a [commitError]; with any
// other error nothing was done. Unlike the driver's own loop it never calls body twice: who calls decides what is to be done
// again, after a look at the cursor.
func transact(ctx context.Context, session *mongo.Session, took *time.Duration, body func(context.Context) error) error {
	err := session.StartTransaction(transaction())
	if err != nil {
		return fmt.Errorf("starting a transaction: %w", err)
	}
	attempt, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	returned := false
	defer func() {
		if !returned { // the author's code has ended the goroutine
			abort(ctx, session)
		}
	}()
	err = body(mongo.NewSessionContext(attempt, session))
	returned = true
	if err == nil {
		err = context.Cause(attempt)
	}
	if err != nil {
		abort(ctx, session)
		return err
	}
	point.Reached("chunk.before-commit")
	began := time.Now()
	if err := commit(ctx, session); err != nil {
		return err
	}
	*took = time.Since(began)
	point.Reached("chunk.after-commit")
	return nil
}

// abort ends a transaction whatever has become of the context, so that its locks are gone at once.
func abort(ctx context.Context, session *mongo.Session) {
	ctx, cancel := within(ctx, abortLimit)
	defer cancel()
	_ = session.AbortTransaction(ctx) // the server ends it by itself, and the next one of this session does too
}

// overtaken is how long a command may be on its way to the server after its connection was closed.
const overtaken = 100 * time.Millisecond

// leave ends a worker's session. When the worker was cut off in the first command of a transaction, the abort may have overtaken
// that command: the server would keep the transaction for a minute, in the way of whoever indexes or drops the collection.
func leave(ctx context.Context, client *mongo.Client, session *mongo.Session) {
	stopped := ctx.Err() != nil
	ctx, cancel := within(ctx, abortLimit)
	defer cancel()
	defer session.EndSession(ctx)
	if !stopped {
		return
	}
	timer := time.NewTimer(overtaken)
	defer timer.Stop()
	<-timer.C
	_ = client.Database("admin").RunCommand(ctx, bson.D{{Key: "killSessions", Value: bson.A{session.ID()}}}).Err() // the server ends it by itself, later
}

// commit commits, and asks again as long as the answer is that nobody knows. A stop cuts it off a little later only: a commit that
// was cut off has happened or not all the same, and mostly it is done before.
func commit(ctx context.Context, session *mongo.Session) error {
	began := time.Now()
	for {
		one, cancel := within(ctx, commitLimit)
		err := session.CommitTransaction(one)
		cancel()
		switch {
		case err == nil:
			return nil
		case hasLabel(err, "TransientTransactionError"):
			return err // it was aborted
		case !hasLabel(err, "UnknownTransactionCommitResult") || time.Since(began) > commitPatience || ctx.Err() != nil:
			return commitError{fmt.Errorf("the commit's answer leaves open what happened: %w", err)}
		}
	}
}

// isStop tells the end of the run from trouble.
func isStop(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err()) || mongo.IsTimeout(err) || mongo.IsNetworkError(err))
}
