package rikki

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// maxTxAttempts bounds how often a transaction's function is called. The
// driver alone goes on for two minutes, however often that is.
const maxTxAttempts = 20

// Labels and codes of the server that transactions turn on.
const (
	labelTransient     = "TransientTransactionError"
	labelUnknownCommit = "UnknownTransactionCommitResult"
	codeNoSuchTxn      = 251
)

// Tx runs fn in a transaction: snapshot reads from the primary, commit with
// majority. Operations belong to it if they use the context that fn gets.
//
// fn is called again after a transient error, at most 20 times, so it must have
// no effects but those in the database. When one of its operations fails, the
// server has ended the transaction even if fn goes on; Tx then returns that
// first error. A write of this run beside the transaction while it is open is
// logged as an error, since it is nearly always one: it stays when the
// transaction is aborted.
//
// The error is [ErrNestedTx] within another transaction, and [ErrCommitUnknown]
// if no answer to the commit came: then the changes may be there or not, and
// must be looked for before anything is done again.
//
// A standalone server has no transactions; the error says so.
func (r *Run) Tx(ctx context.Context, fn func(ctx context.Context) error) error {
	switch outer := mongo.SessionFromContext(ctx); {
	case outer != nil && outer == r.preview:
		return fn(ctx) // a dry run is one transaction already
	case outer != nil:
		return ErrNestedTx
	}
	session, err := r.Client().StartSession()
	if err != nil {
		return fmt.Errorf("starting a transaction: %w", err)
	}
	defer session.EndSession(context.WithoutCancel(ctx))

	tx := r.monitor.openTx(r.id, sessionID(session))
	defer r.monitor.closeTx(r.id, tx)
	attempts := 0
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		attempts++
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if attempts > maxTxAttempts {
			return nil, fmt.Errorf("the transaction was tried %d times: %w", maxTxAttempts, unlabelled(tx.lastError()))
		}
		tx.begin()
		return nil, tx.judge(fn(ctx))
	}, options.Transaction().
		SetReadConcern(readconcern.Snapshot()).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(writeconcern.Majority()))
	if stray := tx.strayWrites(); len(stray) > 0 {
		r.log.Error("writes beside the transaction: they did not use its context, and stay if it is aborted", "commands", stray)
	}
	if hasLabel(err, labelUnknownCommit) {
		return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	}
	return err
}

// sessionID returns the session's identity as the command events show it.
func sessionID(session *mongo.Session) string {
	_, data, _ := session.ID().Lookup("id").BinaryOK()
	return string(data)
}

func hasLabel(err error, label string) bool {
	labelled, ok := errors.AsType[mongo.LabeledError](err)
	return ok && labelled.HasErrorLabel(label)
}

func hasCode(err error, code int) bool {
	server, ok := errors.AsType[mongo.ServerError](err)
	return ok && server.HasErrorCode(code)
}

// unlabelled hides the labels of an error, so that the driver doesn't try again.
func unlabelled(err error) error {
	if err == nil {
		return errors.New("no operation failed")
	}
	return errors.New(err.Error())
}

// openTx is what the command monitor knows of one open transaction. The
// monitor's lock guards it.
type openTx struct {
	monitor *monitor
	session string
	failed  error    // the first operation that failed in this attempt
	last    error    // the last one in any attempt
	stray   []string // writes of the run beside the transaction
}

func (tx *openTx) begin() {
	tx.monitor.mu.Lock()
	defer tx.monitor.mu.Unlock()
	tx.failed = nil
}

func (tx *openTx) lastError() error {
	tx.monitor.mu.Lock()
	defer tx.monitor.mu.Unlock()
	return tx.last
}

func (tx *openTx) strayWrites() []string {
	tx.monitor.mu.Lock()
	defer tx.monitor.mu.Unlock()
	return tx.stray
}

// judge decides what the function's error means, given the first operation
// that really failed.
func (tx *openTx) judge(err error) error {
	tx.monitor.mu.Lock()
	first := tx.failed
	tx.monitor.mu.Unlock()
	switch {
	case first == nil:
		return err
	case err == nil:
		// fn swallowed it; a commit would only say that there is no transaction.
		return fmt.Errorf("an operation failed and ended the transaction, though the function returned no error: %w", first)
	case hasCode(err, codeNoSuchTxn) && !hasLabel(first, labelTransient):
		// What fn reports is only the consequence, and looks transient.
		return fmt.Errorf("%w (then: %w)", first, unlabelled(err))
	default:
		return err
	}
}

// writeCommands are the commands that change data and can run in a transaction.
var writeCommands = map[string]bool{"insert": true, "update": true, "delete": true, "findAndModify": true, "bulkWrite": true}

func (m *monitor) openTx(run, session string) *openTx {
	tx := &openTx{monitor: m, session: session}
	m.mu.Lock()
	defer m.mu.Unlock()
	if tracked := m.runs[run]; tracked != nil {
		tracked.open = append(tracked.open, tx)
	}
	return tx
}

func (m *monitor) closeTx(run string, tx *openTx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tracked := m.runs[run]; tracked != nil {
		for i := range tracked.open {
			if tracked.open[i] == tx {
				tracked.open = append(tracked.open[:i:i], tracked.open[i+1:]...)
				return
			}
		}
	}
}

// noteStray notes a write that belongs to no transaction while one is open.
func (t *runCommands) noteStray(name string, command bson.Raw) {
	if !writeCommands[name] || command.Lookup("autocommit").Type == bson.TypeBoolean {
		return
	}
	target, _ := command.Lookup(name).StringValueOK()
	for _, tx := range t.open {
		if len(tx.stray) < 10 {
			tx.stray = append(tx.stray, name+" "+target)
		}
	}
}

// noteFailure notes that an operation of an open transaction failed.
func (t *runCommands) noteFailure(session string, err error) {
	for _, tx := range t.open {
		if tx.session == session {
			tx.last = err
			if tx.failed == nil {
				tx.failed = err
			}
		}
	}
}

// replyError returns the error that a successful reply carries: a write that
// fails in a transaction ends it, and the reply still says ok.
func replyError(reply bson.Raw) error {
	errs, ok := reply.Lookup("writeErrors").ArrayOK()
	if !ok {
		return nil
	}
	var first mongo.WriteError
	value, err := errs.IndexErr(0)
	if err != nil {
		return nil //nolint:nilerr // an empty list is no error
	}
	doc, _ := value.DocumentOK()
	if code, ok := doc.Lookup("code").AsInt64OK(); ok {
		first.Code = int(code)
	}
	first.Message, _ = doc.Lookup("errmsg").StringValueOK()
	first.Raw = append(bson.Raw(nil), doc...)
	return mongo.WriteException{WriteErrors: mongo.WriteErrors{first}}
}
