package backfill

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/internal/journal"
)

// place is a collection that an undo writes to, as it was found before the first write.
type place struct {
	coll *mongo.Collection
	ns   string // as the undo's own journal says it: "" for the run's own collection
	// uuid is the collection's; it has no data where there is none.
	uuid bson.Binary
	// unfit says why nothing can be restored there, or "".
	unfit string
	// validated says that the collection has a validator which refuses documents, and bypass that the account may pass it by.
	validated, bypass bool
	// unique says that it has unique indexes beside that on _id.
	unique bool
}

// places are the collections of an undo, by their names.
type places map[string]*place

// survey looks at all collections that the undo writes to, and at what the account may do there. What can't work is refused before the
// first write, and all else that will be in the way is said.
func (p *pastRun) survey(ctx context.Context, e *engine) error {
	known := map[string][]bson.Binary{e.ns(): {p.plan.Target.Collection}}
	for _, other := range p.found.Others {
		known[other.Namespace] = append(known[other.Namespace], other.Collection)
	}
	may, err := e.rights(ctx)
	if err != nil {
		return err
	}
	p.places = places{}
	for ns, uuids := range known {
		found, err := e.place(ctx, ns, uuids)
		if err != nil {
			return err
		}
		found.bypass = may.may(ns, "bypassDocumentValidation")
		p.places[ns] = found
	}
	own := p.places[e.ns()]
	if own.unfit != "" {
		return fmt.Errorf("%w: %w: %s", ErrNoUndo, ErrCannotWalk, own.unfit)
	}
	e.target.Collection = own.uuid
	return p.mayWrite(may)
}

// placeOf is the place of changes. A collection that the journal's headers don't name is looked at when it is met.
func (p *pastRun) placeOf(ctx context.Context, e *engine, ns string) (*place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places[ns] == nil {
		outside := mongo.NewSessionContext(ctx, nil)
		found, err := e.place(outside, ns, nil)
		if err != nil {
			return nil, err
		}
		p.places[ns] = found
	}
	return p.places[ns], nil
}

// warnings are what will be in the way of some changes.
func (p *pastRun) warnings() []string {
	var warnings []string
	for ns, place := range p.places {
		if place.unfit != "" {
			warnings = append(warnings, "changes of "+ns+" stay: "+place.unfit)
		}
		if place.validated && !place.bypass {
			warnings = append(warnings, "documents of "+ns+" that its validator refuses stay as they are: the account hasn't the right bypassDocumentValidation, which the role dbAdmin has")
		}
	}
	return warnings
}

// mayWrite refuses what the account may not do at all.
func (p *pastRun) mayWrite(may rights) error {
	needs := []string{"find", "update"}
	if p.did(journal.Insert) {
		needs = append(needs, "remove")
	}
	if p.did(journal.Delete) {
		needs = append(needs, "insert")
	}
	own := p.database + "." + p.collection
	for _, action := range needs {
		if !may.may(own, action) {
			return &deniedError{fmt.Errorf("%w: it takes the right to %s on %s, which the account hasn't", ErrNoUndo, action, own)}
		}
	}
	return nil
}

// deniedError is what the server would answer, before it is asked.
type deniedError struct{ error }

func (e *deniedError) Unwrap() []error {
	return []error{e.error, mongo.CommandError{Code: codeUnauthorized, Name: "Unauthorized", Message: e.Error()}}
}

// place looks at a collection. It must be one of those that the run wrote to, as far as that is known.
func (e *engine) place(ctx context.Context, ns string, uuids []bson.Binary) (*place, error) {
	db, name, _ := cutNamespace(ns)
	found := &place{ns: ns, coll: e.client.Database(db).Collection(name, options.Collection().
		SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary()))}
	if ns == e.ns() {
		found.coll, found.ns = e.coll, ""
	}
	specs, err := found.coll.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: name}})
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", ns, err)
	}
	if len(specs) == 0 {
		found.unfit = fmt.Sprintf("there is no collection %s any more: it was dropped or renamed since the run; give it back its name, or restore it", ns)
		return found, nil
	}
	spec := specs[0]
	if spec.UUID != nil {
		found.uuid = *spec.UUID
	}
	for _, uuid := range uuids {
		if len(uuid.Data) > 0 && !bytes.Equal(uuid.Data, found.uuid.Data) {
			found.unfit = fmt.Sprintf("%s is another collection than the run wrote to: that one was dropped, renamed or replaced since; "+
				"give it back its name and undo the run then", ns)
		}
	}
	capped, _ := spec.Options.Lookup("capped").BooleanOK()
	switch {
	case spec.Type != "collection" && spec.Type != "":
		found.unfit = fmt.Sprintf("%s is a %s now, no collection of its own; give the collection that the run wrote to back its name", ns, spec.Type)
	case capped:
		found.unfit = fmt.Sprintf("%s is capped now: transactions can't write to it; copy it into an ordinary collection of that name", ns)
	}
	found.validated = refuses(spec.Options)
	if found.unfit == "" {
		found.unique, err = hasUnique(ctx, found.coll)
	}
	return found, err
}

// refuses tells whether a collection's validator refuses documents.
func refuses(options bson.Raw) bool {
	validator, ok := options.Lookup("validator").DocumentOK()
	level, _ := options.Lookup("validationLevel").StringValueOK()
	action, _ := options.Lookup("validationAction").StringValueOK()
	const empty = 5 // bytes
	return ok && len(validator) > empty && level != "off" && action != "warn"
}

func hasUnique(ctx context.Context, coll *mongo.Collection) (bool, error) {
	cur, err := coll.Database().RunCommandCursor(ctx, bson.D{{Key: "listIndexes", Value: coll.Name()}})
	var indexes []bson.Raw
	if err == nil {
		err = cur.All(ctx, &indexes)
	}
	if err != nil {
		return false, fmt.Errorf("looking at the indexes of %s: %w", coll.Name(), err)
	}
	for _, index := range indexes {
		for _, option := range []string{"unique", "prepareUnique"} {
			if unique, ok := index.Lookup(option).BooleanOK(); ok && unique {
				return true, nil
			}
		}
	}
	return false, nil
}

// rights are what an account may do.
type rights struct {
	all        bool // the server asks nobody
	privileges []privilege
}

type privilege struct {
	Resource struct {
		DB          *string `bson:"db"`
		Collection  string  `bson:"collection"`
		AnyResource bool    `bson:"anyResource"`
	} `bson:"resource"`
	Actions []string `bson:"actions"`
}

// rights asks the server.
func (e *engine) rights(ctx context.Context) (rights, error) {
	var answer struct {
		AuthInfo struct {
			Users      []bson.Raw  `bson:"authenticatedUsers"`
			Privileges []privilege `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	command := bson.D{{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}
	if err := e.client.Database("admin").RunCommand(ctx, command).Decode(&answer); err != nil {
		return rights{}, fmt.Errorf("asking what the account may do: %w", err)
	}
	return rights{all: len(answer.AuthInfo.Users) == 0, privileges: answer.AuthInfo.Privileges}, nil
}

// may tells whether the account may do something with a collection.
func (r rights) may(ns, action string) bool {
	if r.all {
		return true
	}
	db, name, _ := cutNamespace(ns)
	for _, p := range r.privileges {
		on := p.Resource
		covers := on.AnyResource || on.DB != nil && (*on.DB == "" || *on.DB == db) &&
			(on.Collection == name || on.Collection == "" && !strings.HasPrefix(name, "system."))
		if !covers {
			continue
		}
		for _, a := range p.Actions {
			if a == action || a == "anyAction" {
				return true
			}
		}
	}
	return false
}
