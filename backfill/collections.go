package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/store"
)

// collections remembers what a run has found out about the collections that it writes to.
type collections struct {
	mu         sync.Mutex
	folds      map[string]bool      // by namespace: see [engine.foldsText]
	namespaces map[string]namespace // by the names that the author uses
}

// namespace is database.collection, or why a name is none.
type namespace struct {
	ns    string
	wrong error
}

// foldsText tells whether texts that are written in another way can be the same _id in a collection.
func (e *engine) foldsText(ctx context.Context, coll *mongo.Collection) (bool, error) {
	ns := coll.Database().Name() + "." + coll.Name()
	known := &e.collections
	known.mu.Lock()
	defer known.mu.Unlock()
	if folds, ok := known.folds[ns]; ok {
		return folds, nil
	}
	spec, err := e.look(ctx, coll.Database(), coll.Name())
	if err != nil && !hasAnyCode(err, codeUnauthorized) {
		return false, err
	}
	folds := err != nil // it may be
	if spec != nil {
		_, missing := spec.Options.LookupErr("collation")
		folds = missing == nil
	}
	if known.folds == nil {
		known.folds = map[string]bool{}
	}
	known.folds[ns] = folds
	return folds, nil
}

// look looks at a collection as a whole, which can't be part of a transaction. It is nil if there is none.
func (e *engine) look(ctx context.Context, db *mongo.Database, name string) (*mongo.CollectionSpecification, error) {
	specs, err := db.ListCollectionSpecifications(mongo.NewSessionContext(ctx, nil), bson.D{{Key: "name", Value: name}})
	if err != nil {
		return nil, fmt.Errorf("looking at %s.%s: %w", db.Name(), name, err)
	}
	if len(specs) == 0 {
		return nil, nil
	}
	return &specs[0], nil
}

// namespace is that of a collection as [Change.Also] has it. An error that is a [nameError] is of the name, others of the moment.
func (e *engine) namespace(ctx context.Context, name string) (string, error) {
	known := &e.collections
	known.mu.Lock()
	defer known.mu.Unlock()
	if n, ok := known.namespaces[name]; ok {
		return n.ns, n.wrong
	}
	ns, err := e.resolve(ctx, name)
	if _, wrong := errors.AsType[*nameError](err); err != nil && !wrong {
		return "", err
	}
	if known.namespaces == nil {
		known.namespaces = map[string]namespace{}
	}
	known.namespaces[name] = namespace{ns, err}
	return ns, err
}

// nameError says that a collection can't be written to by its name.
type nameError struct{ text string }

func (e *nameError) Error() string { return e.text }

func (e *engine) resolve(ctx context.Context, name string) (string, error) {
	own := e.coll.Database().Name()
	db, coll, dotted := strings.Cut(name, ".")
	switch {
	case !dotted:
		db, coll = own, name
	case db == "":
		db = own
	default:
		if err := e.ambiguous(ctx, db, coll); err != nil {
			return "", err
		}
	}
	if coll == "" || strings.ContainsAny(coll, "$\x00") || strings.HasPrefix(coll, ".") {
		return "", &nameError{fmt.Sprintf("%q is no name of a collection: say collection, database.collection, or .my.collection for one "+
			"whose own name has dots", name)}
	}
	if err := checkCollection(coll); err != nil {
		return "", &nameError{err.Error()}
	}
	if db == e.run.HistoryDatabase() && slices.Contains(store.Collections(), coll) {
		return "", &nameError{fmt.Sprintf("%s.%s is Rikki's own: what is written there would be taken for what it keeps itself", db, coll)}
	}
	return db + "." + coll, nil
}

// ambiguous refuses database.collection where the backfill's own database has a collection with all of that as its name, and there is
// none in the other database: it would be missed without a word.
func (e *engine) ambiguous(ctx context.Context, db, coll string) error {
	own := e.coll.Database()
	here, err := e.look(ctx, own, db+"."+coll)
	if err != nil || here == nil {
		return unlessUnauthorized(err)
	}
	there, err := e.look(ctx, e.client.Database(db), coll)
	if err != nil || there != nil {
		return unlessUnauthorized(err)
	}
	return &nameError{fmt.Sprintf("%[1]s.%[2]s is the collection %[2]s of the database %[1]s, which there isn't; "+
		"for the one of the database %[3]s say .%[1]s.%[2]s", db, coll, own.Name())}
}

// unlessUnauthorized leaves out that somebody may not look.
func unlessUnauthorized(err error) error {
	if hasAnyCode(err, codeUnauthorized) {
		return nil
	}
	return err
}
