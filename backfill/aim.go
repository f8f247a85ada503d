package backfill

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// A run is about one collection and walks one index of it, not whatever has their names by then. The plan says which, by the
// collection's UUID and the index's whole specification. It is compared when a run goes on, and in each chunk: once a transaction
// has read from a collection, that is neither renamed nor dropped nor are its indexes changed before the transaction ends. So it is
// enough to compare once, in the first read or behind it.

// errUnseen says that what a collection is could not be seen in time.
var errUnseen = errors.New("the collection can't be looked at while others wait to change it")

// specification is how the server describes the collection; nil if there is none.
func (e *engine) specification(ctx context.Context) (*mongo.CollectionSpecification, error) {
	return e.look(ctx, e.coll.Database(), e.coll.Name())
}

// checkTarget refuses the server's collections and Rikki's own.
func (e *engine) checkTarget() error {
	db, coll := e.coll.Database().Name(), e.coll.Name()
	switch {
	case slices.Contains([]string{"admin", "config", "local"}, db):
		return fmt.Errorf("%w: the database %s is the server's own; name one of yours", ErrCannotWalk, db)
	case db == cmp.Or(e.run.HistoryDatabase(), rikki.DefaultHistoryDatabase) && slices.Contains(store.Collections(), coll):
		return fmt.Errorf("%w: %s is one of Rikki's own collections, which hold the runs, their cursors and their journals; "+
			"for a copy, name that", ErrCannotWalk, e.ns())
	}
	return nil
}

// lookLimit bounds a look while a transaction is open. Who wants to change what is looked at waits for that transaction, and the
// look may wait for them.
const lookLimit = time.Second

// indexes are the specifications of the collection's indexes, as the server has them.
func (e *engine) indexes(ctx context.Context) ([]bson.Raw, error) {
	cur, err := e.coll.Database().RunCommandCursor(ctx, bson.D{{Key: "listIndexes", Value: e.coll.Name()}})
	var all []bson.Raw
	if err == nil {
		err = cur.All(ctx, &all)
	}
	switch {
	case hasAnyCode(err, codeNamespaceNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking at the indexes of %s: %w", e.ns(), err)
	}
	return all, nil
}

// keyIndex is the index that the walk goes by. It has every document once, and all documents with the same key are one document.
func (e *engine) keyIndex(ctx context.Context) (bson.Raw, error) {
	indexes, err := e.indexes(ctx)
	if err != nil {
		return nil, err
	}
	var why []string
	for _, spec := range indexes {
		unfit, of := e.unfit(spec)
		if of && unfit == "" {
			return spec, nil
		}
		if of {
			why = append(why, nameOf(spec)+" "+unfit)
		}
	}
	if len(why) == 0 {
		return nil, fmt.Errorf("%w: %s has no index on %[3]s alone; make a unique one on {%[3]s: 1}, or walk by _id", ErrCannotWalk, e.ns(), e.opts.Key)
	}
	return nil, fmt.Errorf("%w: no index on %s serves: %s; make a unique one that has every document, or walk by _id", ErrCannotWalk, e.opts.Key, strings.Join(why, ", "))
}

// unfit tells whether an index is one on the key alone, and why the walk can't go by it all the same.
func (e *engine) unfit(spec bson.Raw) (why string, of bool) {
	keys, _ := spec.Lookup("key").DocumentOK()
	elements, _ := keys.Elements()
	if len(elements) != 1 || elements[0].Key() != e.opts.Key {
		return "", false
	}
	direction, number := elements[0].Value().AsInt64OK()
	yes := func(name string) bool { v, ok := spec.Lookup(name).BooleanOK(); return ok && v }
	partial, _ := spec.Lookup("partialFilterExpression").DocumentOK()
	switch {
	case !number || direction != 1 && direction != -1:
		return fmt.Sprintf("has no order (it is %s)", elements[0].Value()), true
	case yes("hidden"):
		return "is hidden", true
	case partial != nil:
		return "leaves documents out (it is partial)", true
	case yes("sparse"):
		return "leaves documents out (it is sparse)", true
	case !spec.Lookup("collation").Equal(e.collation):
		return "has another collation than the collection, and with it another order", true
	case e.opts.Key != "_id" && !yes("unique"):
		return "is not unique: documents with the same key would be torn apart", true
	}
	return "", true
}

func nameOf(spec bson.Raw) string {
	name, _ := spec.Lookup("name").StringValueOK()
	return name
}

// hint names the index that the walk goes by. Others may have the same keys.
func (e *engine) hint() string { return nameOf(e.target.Index) }

// walks tells whether the run goes through its collection, not through rows.
func (e *engine) walks() bool { return e.opts.Source == nil }

// sourceCollection is the source of a run without another one.
const sourceCollection = "collection"

// aim begins the description of what the run is about.
func (e *engine) aim() {
	e.target = store.Target{Namespace: e.ns(), Key: e.opts.Key, Source: sourceCollection}
	if !e.walks() {
		e.target.Source = e.opts.Source.kind()
	}
}

// sameTarget refuses to go on with another collection, index or kind of items than the run was planned with.
func (e *engine) sameTarget(plan store.Target) error {
	now := e.target
	switch {
	case plan.Namespace != now.Namespace:
		return changed(otherProgram, "the run was planned for %s, and this is %s", plan.Namespace, now.Namespace)
	case plan.Source != now.Source:
		return changed(otherProgram, "its items came from another source (%s) than now (%s)", plan.Source, now.Source)
	case e.walks() && plan.Key != now.Key:
		return changed(otherProgram, "the walk went by %s, and would go by %s now", plan.Key, now.Key)
	case len(plan.Collection.Data) > 0 && !plan.Collection.Equal(now.Collection):
		return e.otherCollection(now.Collection)
	case !bytes.Equal(plan.Index, now.Index):
		return e.otherIndex(plan.Index)
	}
	return nil
}

func (e *engine) otherCollection(now bson.Binary) error {
	if len(now.Data) == 0 {
		return changed("give it back its name and resume the run, or cancel it", "there is no %s any more: it was renamed or dropped", e.ns())
	}
	return changed("put back the one that the run began with, or cancel the run and begin a new one", "%s is another collection now: it was replaced, as by a restore", e.ns())
}

func (e *engine) otherIndex(planned bson.Raw) error {
	return changed("make it again as it was, "+planned.String()+", and resume the run", "the index %s that the walk goes by is gone or is another one", nameOf(planned))
}

// changedError is an [ErrCollectionChanged]. The run that returns it pauses.
type changedError struct {
	what   error
	advice string
}

// otherProgram is the advice where the server is as it was.
const otherProgram = "go on with the program that it was begun with"

func changed(advice, format string, args ...any) error {
	return &changedError{what: fmt.Errorf(format, args...), advice: advice}
}

func (e *changedError) Error() string {
	return fmt.Sprintf("%v by itself: %v: %v; %s", rikki.ErrPaused, ErrCollectionChanged, e.what, e.advice)
}

func (e *changedError) Unwrap() []error {
	return []error{rikki.ErrPaused, ErrCollectionChanged, e.what}
}

// unplanned is an error of a run that has no plan yet. It has no place to go on at, and fails for what others would pause for.
func unplanned(err error) error {
	if changed, ok := errors.AsType[*changedError](err); ok {
		return fmt.Errorf("%w: while the run was planned, %w; nothing was done: put it right, and run it again", ErrCollectionChanged, changed.what)
	}
	return err
}

// pin finds out whether reads and writes can be told which collection they are for. Servers before 6.0 can't be.
func (e *engine) pin(ctx context.Context) error {
	e.pinned = false
	if len(e.target.Collection.Data) == 0 {
		return nil
	}
	probe := bson.D{{Key: "find", Value: e.coll.Name()}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true}, e.uuid()}
	err := e.coll.Database().RunCommand(ctx, probe).Err()
	if hasAnyCode(err, codeOtherCollection, codeView) {
		return e.changedMeanwhile(ctx, err)
	}
	if err != nil && !isServerError(err) {
		return fmt.Errorf("looking at %s: %w", e.ns(), err)
	}
	e.pinned = err == nil
	return nil
}

func (e *engine) uuid() bson.E { return bson.E{Key: "collectionUUID", Value: e.target.Collection} }

// still compares what a transaction reads and writes with the plan, as far as its commands don't. The transaction must have read
// from the collection, so that this stays so until it ends. What is looked up here can't be looked up in it.
func (e *engine) still(ctx context.Context) error {
	outside, cancel := context.WithTimeout(mongo.NewSessionContext(ctx, nil), lookLimit)
	defer cancel()
	err := e.stillPlanned(outside)
	if err != nil && outside.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errUnseen, err)
	}
	return err
}

func (e *engine) stillPlanned(ctx context.Context) error {
	if !e.pinned && len(e.target.Collection.Data) > 0 {
		spec, err := e.specification(ctx)
		if err != nil {
			return err
		}
		if spec == nil || spec.UUID == nil {
			return e.otherCollection(bson.Binary{})
		}
		if !spec.UUID.Equal(e.target.Collection) {
			return e.otherCollection(*spec.UUID)
		}
	}
	if !e.walks() || e.opts.Key == "_id" { // nobody can drop the index on _id, or make another one
		return nil
	}
	return e.stillIndexed(ctx)
}

func (e *engine) stillIndexed(ctx context.Context) error {
	indexes, err := e.indexes(ctx)
	if err != nil {
		return err
	}
	for _, spec := range indexes {
		if bytes.Equal(spec, e.target.Index) {
			return nil
		}
	}
	return e.otherIndex(e.target.Index)
}

// changedMeanwhile finds out whether an attempt failed since the collection or the index is another one now, and returns its error
// if it wasn't for that.
func (e *engine) changedMeanwhile(ctx context.Context, err error) error {
	if err == nil || !hasAnyCode(err, codeOtherCollection, codeView, codeBadValue, codeIndexNotFound, codeNamespaceNotFound) {
		return err
	}
	outside := mongo.NewSessionContext(ctx, nil)
	spec, lookErr := e.specification(outside)
	switch {
	case lookErr != nil || len(e.target.Collection.Data) == 0:
		return err
	case spec == nil || spec.UUID == nil:
		return e.otherCollection(bson.Binary{})
	case !spec.UUID.Equal(e.target.Collection):
		return e.otherCollection(*spec.UUID)
	}
	if e.target.Index != nil {
		if lookErr := e.stillIndexed(outside); errors.Is(lookErr, ErrCollectionChanged) {
			return lookErr
		}
	}
	return err
}

// learn notes which collection the first rows have made. If that fails, it is tried again behind the next chunk.
func (e *engine) learn(ctx context.Context) {
	if e.walks() || len(e.target.Collection.Data) > 0 {
		return
	}
	there, err := e.writable(ctx)
	if err == nil && there {
		if err = e.walk.Aim(ctx, e.target.Collection); err == nil {
			err = e.pin(ctx)
		}
	}
	if err != nil {
		e.target.Collection = bson.Binary{}
		e.log.Debug("it isn't known yet which collection the rows have made", "error", err)
	}
}

// query runs a command that reads the run's collection, and none that has its name by now.
func (e *engine) query(ctx context.Context, command bson.D) (*mongo.Cursor, error) {
	return e.queryOf(ctx, e.coll, e.target.Collection, command)
}

// queryOf is the same for any collection.
func (e *engine) queryOf(ctx context.Context, coll *mongo.Collection, uuid bson.Binary, command bson.D) (*mongo.Cursor, error) {
	command = append(command, bson.E{Key: "comment", Value: e.run.ID()})
	if e.pinned && len(uuid.Data) > 0 {
		command = append(command, bson.E{Key: "collectionUUID", Value: uuid})
	}
	if mongo.SessionFromContext(ctx) == nil {
		command = append(command, bson.E{Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}}})
	}
	cur, err := coll.Database().RunCommandCursor(ctx, command, options.RunCmd())
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", coll.Database().Name()+"."+coll.Name(), err)
	}
	return cur, nil
}

// keyAt is the key of the document at a place among those that match, from one end or the other; zero if there are fewer.
func (e *engine) keyAt(ctx context.Context, filter bson.D, dir, skip int) (bson.RawValue, error) {
	cur, err := e.query(ctx, bson.D{
		{Key: "find", Value: e.coll.Name()},
		{Key: "filter", Value: filter},
		{Key: "sort", Value: bson.D{{Key: e.opts.Key, Value: dir}}},
		{Key: "hint", Value: e.hint()},
		{Key: "projection", Value: bson.D{{Key: e.opts.Key, Value: 1}}},
		{Key: "skip", Value: skip},
		{Key: "limit", Value: 1},
		{Key: "singleBatch", Value: true},
	})
	if err != nil {
		return bson.RawValue{}, err
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // what it could say, Next says
	if cur.Next(ctx) {
		return e.keyOf(cur.Current), nil
	}
	if err := cur.Err(); err != nil {
		return bson.RawValue{}, fmt.Errorf("reading %s: %w", e.ns(), err)
	}
	return bson.RawValue{}, nil
}
