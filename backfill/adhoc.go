package backfill

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/extjson"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// AdHocName is the name of the script that [NewAdHoc] returns.
const AdHocName = "backfill"

// AdHoc is a backfill that is described by its parameters alone, for the command
// line: a filter, and an update or a deletion; or a file of rows.
type AdHoc struct {
	Collection string   `required:"true" minLength:"1" help:"The collection to walk, or to put rows into."`
	Filter     string   `minLength:"1" format:"mongo-filter" default:"{}" help:"Which documents, as extended JSON; @FILE reads it from a file."`
	Update     string   `placeholder:"JSON" format:"mongo-update" help:"The change: an aggregation pipeline [{…}], or an update document {\"$set\": {…}}; @FILE reads it from a file."`
	Delete     bool     `help:"Delete the documents instead."`
	Key        string   `default:"_id" help:"The field to walk by: indexed, unique and changed by nobody meanwhile."`
	Fields     []string `minItems:"1" help:"The top-level fields that may change; a chunk that changes another stops the run."`
	FileRows
}

// FileRows says what the rows of a file change: the documents that have the value
// of one of the columns.
type FileRows struct {
	File      string   `minLength:"1" help:"Take the changes from the rows of this file; - is standard input."`
	UpsertBy  string   `minLength:"1" placeholder:"FIELD" help:"Set the fields of the document with a row's value in this field, or insert one."`
	UpdateBy  string   `minLength:"1" placeholder:"FIELD" help:"Set the fields of the document with a row's value in this field; a row without one fails."`
	DeleteBy  string   `minLength:"1" placeholder:"FIELD" help:"Delete the document with a row's value in this field; a row without one fails."`
	Format    string   `enum:"csv,tsv,ndjson" help:"What the file is (default: by the end of its name)."`
	Separator string   `minLength:"1" placeholder:"CHAR" help:"What is between the columns of CSV (default a comma); tab for a tabulator."`
	Columns   []string `minItems:"1" placeholder:"COLUMN[=FIELD]" help:"The columns to take, and the fields that they become (default: all, by their names)."`
	Types     []string `minItems:"1" placeholder:"COLUMN=TYPE" help:"What the columns of CSV hold: string, int, long, double, decimal, bool, date, objectId, uuid, json (default string)."`
	Empty     string   `enum:"text,skip,null,unset" help:"What an empty cell becomes (default text, which fails for other types than string)."`
}

// alike refuses to do what another run is doing just now: the command is one script, of which any number may run at a time, but not
// twice what somebody has typed twice. Of two that begin at the same time the later one goes.
func (e *engine) alike(ctx context.Context) error {
	if e.run.Script() != AdHocName {
		return nil
	}
	mine, err := e.store.Run(ctx, e.run.ID())
	if err != nil {
		return err
	}
	active := store.Filter{Script: AdHocName, States: []store.State{store.Running, store.Pausing, store.Cancelling}}
	for other, err := range e.store.Runs(ctx, active) {
		if err == nil { // a list leaves out what is large
			other, err = e.store.Run(ctx, other.ID)
		}
		if err != nil {
			return err
		}
		first := cmp.Or(other.CreatedAt.Compare(mine.CreatedAt), cmp.Compare(other.ID, mine.ID)) < 0
		if other.ID != mine.ID && other.Database == mine.Database && mine.Input != "" && other.Input == mine.Input && !other.DryRun && (first || mine.Attempt > 1) {
			return &rikki.AlreadyRunningError{
				Script: other.Script, Holder: other.ID, Host: other.Lease.Owner.Host, PID: other.Lease.Owner.PID,
				Since: other.StartedAt, Expires: other.Lease.Expires.Sub(other.ReadAt),
			}
		}
	}
	return nil
}

// Backfill implements [Described].
func (a *AdHoc) Backfill() Options {
	o := Options{
		Script: rikki.Options{
			Name: AdHocName, Concurrency: -1, Hidden: true,
			Description: "Changes or deletes the documents that match a filter, or that the rows of a file name, each exactly once.",
		},
		Collection: a.Collection, Key: a.Key, Fields: a.Fields,
	}
	if a.File != "" {
		if rows, err := a.rows(); err == nil { // it was checked
			o.Source = rows.source()
		}
		return o
	}
	filter := bson.D{}
	if doc, err := extjson.Document([]byte(a.Filter)); err == nil { // its format was checked
		filter, _ = extjson.D(doc)
	}
	o.Filter = filter
	return o
}

// CheckParams implements [params.Checker].
func (a *AdHoc) CheckParams() error {
	err := params.Join(wrongParam("collection", checkCollection(a.Collection)), wrongParam("key", checkKey(a.Key)), wrongParam("fields", checkTop(a.Fields)))
	if a.File != "" {
		return params.Join(err, a.checkRows())
	}
	err = params.Join(err, a.checkNoRows())
	switch {
	case a.Delete && a.Update != "":
		return params.Join(err, wrongParam("update", errors.New("contradicts --delete: say what shall become of the documents, either --update or --delete")))
	case a.Delete && len(a.Fields) > 0:
		return params.Join(err, wrongParam("fields", errors.New("contradicts --delete: a deletion takes whole documents, so no field is safe from it; leave --fields out")))
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
	if a.File != "" {
		return &rowsWork{}
	}
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
	value, err := extjson.Value([]byte(a.Update))
	if err != nil {
		return nil, fmt.Errorf("is not valid extended JSON: %w; it has to be %s", err, wanted)
	}
	w := &pipelineWork{}
	switch value.Type {
	case bson.TypeArray:
		w.pipeline, err = stagesOf(value.Array())
	case bson.TypeEmbeddedDocument:
		w.update, err = updateOf(value.Document())
	default:
		return nil, fmt.Errorf("is %s; it has to be %s", text, wanted)
	}
	switch {
	case err != nil:
		return nil, err
	case len(w.pipeline) == 0 && len(w.update) == 0:
		return nil, fmt.Errorf("is empty and would change nothing; it has to be %s", wanted)
	}
	return w, nil
}

// stagesOf are the stages of a pipeline, each with the name of one that an update may have.
func stagesOf(array bson.RawArray) (mongo.Pipeline, error) {
	known := []string{"$set", "$addFields", "$unset", "$project", "$replaceRoot", "$replaceWith"}
	values, err := array.Values()
	if err != nil {
		return nil, err
	}
	pipeline := make(mongo.Pipeline, len(values))
	for i, v := range values {
		doc, ok := v.DocumentOK()
		if !ok {
			return nil, fmt.Errorf(`stage %d is %s, and a stage is an object such as {"$set": {…}}`, i+1, v)
		}
		if pipeline[i], err = extjson.D(doc); err != nil {
			return nil, err
		}
		if len(pipeline[i]) != 1 {
			return nil, fmt.Errorf("stage %d has %d names, and a stage has one, such as $set: give each a stage of its own", i+1, len(pipeline[i]))
		}
		if name := pipeline[i][0].Key; !slices.Contains(known, name) {
			return nil, unknownName(name, "stage of an update", known)
		}
	}
	return pipeline, nil
}

// updateOf is an update document, whose operators are known.
func updateOf(doc bson.Raw) (bson.D, error) {
	known := []string{
		"$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$currentDate", "$setOnInsert",
		"$push", "$pull", "$pullAll", "$addToSet", "$pop", "$bit",
	}
	update, err := extjson.D(doc)
	if err != nil {
		return nil, err
	}
	for _, e := range update {
		fields, isObject := doc.Lookup(e.Key).DocumentOK()
		switch {
		case !strings.HasPrefix(e.Key, "$"):
			return nil, fmt.Errorf("%q is no operator: a replacement of the document is not what one wants for all of them; "+
				"use {\"$set\": {…}} or a pipeline", e.Key)
		case !slices.Contains(known, e.Key):
			return nil, unknownName(e.Key, "operator of an update", known)
		case !isObject:
			return nil, fmt.Errorf(`%s is %s, and takes an object of fields, such as {"%[1]s": {"plan": …}}`, e.Key, doc.Lookup(e.Key))
		case len(fields) == emptyDocument:
			return nil, fmt.Errorf("%s is empty and would change nothing: name the fields, or leave it out", e.Key)
		}
	}
	return update, nil
}

// emptyDocument is how many bytes one has.
const emptyDocument = 5

func unknownName(name, what string, known []string) error {
	err := fmt.Errorf("%s is no %s; there are %s", name, what, strings.Join(known, ", "))
	if nearest := params.Nearest(name, known); nearest != "" {
		err = fmt.Errorf("%w. Did you mean %s?", err, nearest)
	}
	return err
}

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
