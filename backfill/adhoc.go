package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// AdHocName is the name of the script that [NewAdHoc] returns.
const AdHocName = "backfill"

// AdHoc is a backfill that is described by its parameters alone, for the command
// line: a filter, and an update or a deletion.
type AdHoc struct {
	Collection string   `required:"true" minLength:"1" help:"The collection to walk."`
	Filter     string   `minLength:"1" format:"mongo-filter" default:"{}" help:"Which documents, as extended JSON."`
	Update     string   `placeholder:"JSON" format:"mongo-update" help:"The change: an aggregation pipeline [{…}], or an update document {\"$set\": {…}}."`
	Delete     bool     `help:"Delete the documents instead."`
	Key        string   `default:"_id" help:"The field to walk by: indexed, unique and not changed."`
	Fields     []string `minItems:"1" help:"The top-level fields that may change; a chunk that changes another stops the run."`
}

// Backfill implements [Described].
func (a *AdHoc) Backfill() Options {
	filter := bson.D{}
	if a.Filter != "" {
		_ = bson.UnmarshalExtJSON([]byte(a.Filter), false, &filter) // its format was checked
	}
	return Options{
		Script: rikki.Options{
			Name: AdHocName, Concurrency: -1, Hidden: true,
			Description: "Changes or deletes the documents that match a filter, each exactly once.",
		},
		Collection: a.Collection, Filter: filter, Key: a.Key, Fields: a.Fields,
	}
}

// CheckParams implements [params.Checker].
func (a *AdHoc) CheckParams() error {
	err := params.Join(wrongParam("collection", checkCollection(a.Collection)), wrongParam("key", checkKey(a.Key)))
	switch {
	case a.Delete && a.Update != "":
		return params.Join(err, wrongParam("update", errors.New("contradicts --delete: say what shall become of the documents, either --update or --delete")))
	case a.Delete:
		return err
	case a.Update == "":
		return params.Join(err, wrongParam("update", errors.New("is missing: say what shall become of the documents, either --update or --delete")))
	}
	w, wrong := a.change()
	if wrong == nil && len(w.pipeline) > 0 {
		wrong = w.analyse(a.Backfill().withDefaults())
	}
	return params.Join(err, wrongParam("update", wrong))
}

// NewAdHoc returns the script.
func NewAdHoc() rikki.Script { return wrap(&AdHoc{}, (*AdHoc).work) }

func (a *AdHoc) work() work {
	if a.Delete {
		return &functionWork{changes: deleteAll}
	}
	w, err := a.change()
	if err != nil {
		return wrongWork{err}
	}
	return w
}

// change is what --update says.
func (a *AdHoc) change() (*pipelineWork, error) {
	const wanted = `an aggregation pipeline, [{"$set": {…}}], or an update, {"$set": {…}}`
	var text json.RawMessage
	if err := json.Unmarshal([]byte(a.Update), &text); err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w; it has to be %s", err, wanted)
	}
	w := &pipelineWork{}
	var err error
	switch text[0] {
	case '[':
		err = bson.UnmarshalExtJSON(a.wrapped(), false, &struct{ U *mongo.Pipeline }{&w.pipeline})
	case '{':
		err = bson.UnmarshalExtJSON(a.wrapped(), false, &struct{ U *bson.D }{&w.update})
	default:
		return nil, fmt.Errorf("is %s; it has to be %s", text, wanted)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("is not valid extended JSON: %s; it has to be %s", strings.TrimPrefix(err.Error(), "error decoding key u: "), wanted)
	case len(w.pipeline) == 0 && len(w.update) == 0:
		return nil, fmt.Errorf("is empty and would change nothing; it has to be %s", wanted)
	case len(w.update) > 0 && !strings.HasPrefix(w.update[0].Key, "$"):
		return nil, fmt.Errorf("%q is no operator: a replacement of the document is not what one wants for all of them; "+
			"use {\"$set\": {…}} or a pipeline", w.update[0].Key)
	}
	return w, nil
}

// wrapped is the update in a document, since that is what can be decoded.
func (a *AdHoc) wrapped() []byte { return []byte(`{"u": ` + a.Update + `}`) }

func deleteAll(_ context.Context, _ *encoder, items []bson.Raw) ([]request, []error, error) {
	requests := make([]request, len(items))
	for i := range requests {
		requests[i].kind = changeDelete
	}
	return requests, make([]error, len(items)), nil
}

// wrongWork is what can't be done, for a reason that is told before anything is written.
type wrongWork struct{ err error }

func (w wrongWork) prepare(context.Context, *engine) error { return w.err }
func (w wrongWork) chunk(context.Context, *chunk) error    { return w.err }

func (w wrongWork) leftover(context.Context, *engine, store.Partition, int) (leftover, error) {
	return leftover{}, w.err
}
