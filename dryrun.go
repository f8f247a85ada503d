package rikki

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/bsondiff"
	"github.com/rikki-go/rikki/preview"
)

// previewSample is how many changed documents a preview shows.
const previewSample = 20

// dryRun runs a script's hooks inside a transaction that is aborted, behind a
// fence that lets no other write out. For a script that has a dry run of its
// own there is no transaction, and no write at all.
type dryRun struct {
	fence   *fence
	source  *conn.Source
	session *mongo.Session // nil if the script has a dry run of its own
}

func newDryRun(a *App) *dryRun {
	d := &dryRun{fence: newFence(a.monitor.commandMonitor())}
	d.source = conn.New(d.fence.around(a.cfg.Conn))
	return d
}

// begin starts the transaction on ref, of d's own source.
func (d *dryRun) begin(ctx context.Context, ref *conn.Ref, own bool) error {
	if own {
		return nil
	}
	if err := ref.Transactions(); err != nil {
		return err
	}
	session, err := ref.Client().StartSession()
	if err != nil {
		return fmt.Errorf("starting the dry run's transaction: %w", err)
	}
	if err := startPreview(session); err != nil {
		session.EndSession(ctx)
		return err
	}
	d.session = session
	d.fence.allowed = sessionID(session)
	return nil
}

func startPreview(session *mongo.Session) error {
	err := session.StartTransaction(options.Transaction().
		SetReadConcern(readconcern.Snapshot()).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return fmt.Errorf("starting the dry run's transaction: %w", err)
	}
	return nil
}

// restart begins the transaction anew.
func (d *dryRun) restart(ctx context.Context) error {
	if d.fence.before() {
		return errors.New("the dry run can't go on without that document, since Setup has written in the same transaction, which is over")
	}
	_ = d.session.AbortTransaction(ctx) // the server has ended it
	if err := d.fence.failure(); err != nil {
		return err
	}
	d.fence.forget()
	return startPreview(d.session)
}

// bind puts the transaction into the script's context.
func (d *dryRun) bind(ctx context.Context) context.Context {
	if d.session == nil {
		return ctx
	}
	return mongo.NewSessionContext(ctx, d.session)
}

// look tells what the script did. A script that still runs may be using the
// session, so there is no sample then.
func (d *dryRun) look(ctx context.Context, ref *conn.Ref, running bool) *preview.Report {
	p := &preview.Report{Collections: []preview.Collection{}, Changes: []preview.Change{}}
	if err := d.fence.failure(); err != nil {
		p.NotPreviewable = append(p.NotPreviewable, err.Error())
	}
	if d.session == nil {
		return p
	}
	writes, collections := d.fence.seen()
	p.Collections = collections
	if len(p.NotPreviewable) == 0 && !running {
		if err := d.sample(ctx, ref.Client(), writes, p); err != nil {
			p.NotPreviewable = append(p.NotPreviewable, "the sample of changes: "+err.Error())
		}
	}
	p.More = p.Total() > int64(len(p.Changes))
	return p
}

// undo ends the transaction. A fence that was hit cuts d's own connections, as
// often as the script tries again, so it takes one of the scripts' source then.
func (d *dryRun) undo(ctx context.Context, source *conn.Source, running bool) error {
	if d.session == nil {
		return nil
	}
	if d.fence.failure() == nil && !running {
		defer d.session.EndSession(ctx)
		return d.session.AbortTransaction(ctx)
	}
	id := bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte(d.fence.allowed)}
	return source.With(ctx, func(ctx context.Context, ref *conn.Ref) error {
		return killSessions(ctx, ref.Client(), []bson.Binary{id})
	})
}

// sample compares documents as everybody sees them with how the transaction
// would leave them.
func (d *dryRun) sample(ctx context.Context, client *mongo.Client, writes []sentWrite, p *preview.Report) error {
	seen := make(map[string]bool)
	for _, write := range writes {
		db, name := splitNamespace(write.collection)
		coll := client.Database(db).Collection(name)
		for _, filter := range write.filters() {
			if len(p.Changes) >= previewSample {
				return nil
			}
			ids, err := d.matching(ctx, coll, filter, previewSample-len(p.Changes))
			if err != nil {
				return err
			}
			for _, id := range ids {
				key := write.collection + "\x00" + id.String()
				if seen[key] || len(p.Changes) >= previewSample {
					continue
				}
				seen[key] = true
				if err := d.compare(ctx, coll, id, write.collection, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// matching returns the ids that a filter matches, before the transaction or in it.
func (d *dryRun) matching(ctx context.Context, coll *mongo.Collection, filter bson.Raw, limit int) ([]bson.RawValue, error) {
	var ids []bson.RawValue
	for _, at := range []func(context.Context) context.Context{outside, d.bind} {
		found, err := findIDs(at(ctx), coll, filter, limit)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	return ids, nil
}

// outside leaves a context as it is: without the transaction.
func outside(ctx context.Context) context.Context { return ctx }

func findIDs(ctx context.Context, coll *mongo.Collection, filter bson.Raw, limit int) ([]bson.RawValue, error) {
	cursor, err := coll.Find(ctx, filter,
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, err
	}
	ids := make([]bson.RawValue, len(docs))
	for i, doc := range docs {
		ids[i] = doc.Lookup("_id")
	}
	return ids, nil
}

func (d *dryRun) compare(ctx context.Context, coll *mongo.Collection, id bson.RawValue, name string, p *preview.Report) error {
	byID := bson.D{{Key: "_id", Value: id}}
	before, err := findRaw(ctx, coll, byID)
	if err != nil {
		return err
	}
	after, err := findRaw(d.bind(ctx), coll, byID)
	if err != nil {
		return err
	}
	found, err := bsondiff.Documents(before, after)
	if err != nil || len(found) == 0 {
		return err
	}
	change := preview.Change{Collection: name, ID: rawJSON(id), Kind: "update"}
	switch {
	case before == nil:
		change.Kind = "insert"
	case after == nil:
		change.Kind = "delete"
	}
	for _, f := range found {
		change.Fields = append(change.Fields, preview.Field{Path: f.Path, Before: rawJSON(f.From), After: rawJSON(f.To)})
	}
	p.Changes = append(p.Changes, change)
	return nil
}

func findRaw(ctx context.Context, coll *mongo.Collection, filter bson.D) (bson.Raw, error) {
	doc, err := coll.FindOne(ctx, filter).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	return doc, err
}

// filters returns one filter for each statement of the write.
func (w sentWrite) filters() []bson.Raw {
	switch w.name {
	case "insert":
		var filters []bson.Raw
		for _, doc := range documents(w.command, "documents") {
			if filter, err := bson.Marshal(bson.D{{Key: "_id", Value: doc.Lookup("_id")}}); err == nil {
				filters = append(filters, filter)
			}
		}
		return filters
	case "update", "delete":
		var filters []bson.Raw
		for _, statement := range documents(w.command, w.name+"s") {
			if q, ok := statement.Lookup("q").DocumentOK(); ok {
				filters = append(filters, q)
			}
		}
		return filters
	default:
		q, _ := w.command.Lookup("query").DocumentOK()
		if q == nil {
			return nil
		}
		return []bson.Raw{q}
	}
}

func documents(command bson.Raw, key string) []bson.Raw {
	array, ok := command.Lookup(key).ArrayOK()
	if !ok {
		return nil
	}
	values, err := array.Values()
	if err != nil {
		return nil
	}
	docs := make([]bson.Raw, 0, len(values))
	for _, value := range values {
		if doc, ok := value.DocumentOK(); ok {
			docs = append(docs, doc)
		}
	}
	return docs
}

func splitNamespace(ns string) (db, coll string) {
	for i := range len(ns) {
		if ns[i] == '.' {
			return ns[:i], ns[i+1:]
		}
	}
	return ns, ""
}

// endDryRun takes the preview and undoes what the script did.
func (x *execution) endDryRun(caller context.Context, out *outcome) *preview.Report {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), previewTime)
	defer cancel()
	running := out.late != nil
	report := x.dry.look(ctx, x.ref, running)
	if err := x.dry.undo(ctx, x.app.source, running); err != nil {
		x.log.Warn("the dry run's transaction ends by itself within a minute", "error", err)
	}
	if err := x.dry.fence.failure(); err != nil {
		out.err = fmt.Errorf("%w: %w", ErrNotPreviewable, err)
	}
	return report
}

// previewTime bounds how long the comparison may take. The transaction holds
// its locks for as long.
const previewTime = 20 * time.Second
