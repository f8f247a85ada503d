package backfill

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// Failure is a document that a run could not process, or a change that an undo
// could not take back.
type Failure struct {
	// ID is the key by which the run walks, usually the _id, as canonical extended JSON, so that its type is kept.
	ID json.RawMessage `json:"_id"`

	// Namespace is database.collection, for an undo; the documents of other runs are all in one collection.
	Namespace string `json:"namespace,omitempty"`

	Class    string    `json:"class"` // groups what fails alike
	Message  string    `json:"message"`
	Stack    string    `json:"stack,omitempty"` // of a panic of the script
	Attempts int       `json:"attempts"`
	At       time.Time `json:"at"`
}

// Failures lists what a run could not do, in the order of the keys, page by page.
// The run is given as for [rikki.App.Record].
func Failures(ctx context.Context, app *rikki.App, run string) iter.Seq2[Failure, error] {
	return func(yield func(Failure, error) bool) {
		record, err := app.Record(ctx, run)
		if err == nil {
			err = app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
				for f, err := range store.New(db).Failures(ctx, record.ID) {
					if err != nil {
						return err
					}
					if !yield(failureOf(f, record.Script == UndoName), nil) {
						return nil
					}
				}
				return nil
			})
		}
		if err != nil {
			yield(Failure{}, err)
		}
	}
}

func failureOf(f store.DocFailure, undo bool) Failure {
	public := Failure{Class: f.Class, Message: f.Message, Stack: f.Stack, Attempts: f.Attempts, At: f.At}
	key := f.Key
	if doc, ok := key.DocumentOK(); ok && undo {
		public.Namespace, _ = doc.Lookup("ns").StringValueOK()
		key = doc.Lookup("_id")
	}
	public.ID = extended(key)
	return public
}

// extended is a value as canonical extended JSON.
func extended(v bson.RawValue) json.RawMessage {
	data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, true, false)
	if err != nil {
		return nil
	}
	var doc struct {
		V json.RawMessage `json:"v"`
	}
	if json.Unmarshal(data, &doc) != nil {
		return nil
	}
	return doc.V
}

// RetryFailed queues a new run of the same script with the same parameters, for the
// documents alone that failed in an earlier run, whose child it is. Limits of the
// earlier run don't count for it. What an earlier retry has done is left out, unless it
// was undone. The error is [rikki.ErrState] when that run has not ended, nothing
// failed, or nothing of it is left.
func RetryFailed(ctx context.Context, app *rikki.App, run string, opts *rikki.ControlOptions) (rikki.Record, error) {
	record, err := app.Record(ctx, run)
	if err != nil {
		return rikki.Record{}, err
	}
	if record.Script == UndoName {
		return rikki.Record{}, fmt.Errorf("%w: run %s is an undo; what it could not take back is tried again by another undo of %s",
			rikki.ErrState, record.ID, record.Parent)
	}
	failed := false
	for _, err := range Failures(ctx, app, record.ID) {
		if err != nil {
			return rikki.Record{}, err
		}
		failed = true
		break
	}
	if !failed {
		return rikki.Record{}, fmt.Errorf("%w: no document failed in run %s", rikki.ErrState, record.ID)
	}
	if err := app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
		none, err := nothingLeft(ctx, store.New(db), record.ID)
		if err == nil && none {
			err = fmt.Errorf("%w: what failed in run %s was done since, by retries of it", rikki.ErrState, record.ID)
		}
		return err
	}); err != nil {
		return rikki.Record{}, err
	}
	o := rikki.ControlOptions{}
	if opts != nil {
		o = *opts
	}
	o.Params = maps.Clone(o.Params)
	if o.Params == nil {
		o.Params = make(map[string]any)
	}
	for _, name := range []string{"only", "limit", "max-matched", "hold"} {
		o.Params[name] = nil
	}
	o.Params["failed-of"], o.Rest = record.ID, true
	return app.Retry(ctx, record.ID, &o)
}
