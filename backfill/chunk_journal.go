package backfill

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// keep writes the journal, as far as it isn't written.
func (c *chunk) keep(ctx context.Context) error {
	if c.ahead == nil {
		if err := c.guard(c.journal); err != nil {
			return err
		}
		_, err := c.writeJournal(ctx, c.journal)
		return err
	}
	if err := c.announce(ctx); err != nil {
		return err
	}
	return c.settle(ctx)
}

// writeJournal writes the entries of one writer, as a sequence of their own.
func (c *chunk) writeJournal(ctx context.Context, w *journal.Writer) (seq int64, err error) {
	seq = c.e.seq.Add(1)
	others := c.otherCollections(ctx)
	docs, err := w.Documents(func(part int) bson.D {
		header := bson.D{
			{Key: "_id", Value: store.JournalID{Run: c.e.run.ID(), Seq: seq, Part: part}},
			{Key: "n", Value: c.part.N},
			{Key: "c", Value: c.part.Chunk},
			{Key: "ns", Value: c.e.ns()},
			{Key: "ops", Value: w.Ops()},
		}
		if c.shared() {
			header = append(header, bson.E{Key: "shared", Value: true})
		}
		if len(others) > 0 {
			header = append(header, bson.E{Key: "others", Value: others})
		}
		return header
	})
	if err != nil {
		return 0, err
	}
	for _, doc := range docs {
		c.counts.Journal += int64(len(doc))
	}
	return seq, c.e.store.AppendJournal(ctx, c.e.run.ID(), docs)
}

// shared tells whether other chunks of the run may have changed the same documents: not where each is a range of the collection's
// _ids and changes nothing else.
func (c *chunk) shared() bool {
	if past, ok := c.e.opts.Source.(*pastRun); ok {
		return past.found.Shared || c.e.alone
	}
	return c.e.opts.Source != nil || c.e.opts.Key != "_id" || c.elsewhere || len(c.others) > 0 || c.e.alone
}

// otherCollections are those that a chunk wrote to beside the run's own, for the journal's header. Which collection has a name is
// looked up once; one that the chunk itself makes isn't there for anybody else yet.
func (c *chunk) otherCollections(ctx context.Context) []store.OtherCollection {
	var others []store.OtherCollection
	for _, ns := range c.others {
		others = append(others, store.OtherCollection{Namespace: ns, Collection: c.e.otherUUID(ctx, ns)})
	}
	return others
}

func (e *engine) otherUUID(ctx context.Context, ns string) bson.Binary {
	if known, ok := e.others.Load(ns); ok {
		return known.(bson.Binary) //nolint:forcetypeassert // what is stored below
	}
	db, name, _ := cutNamespace(ns)
	const limit = time.Second // whoever wants to change the collection may wait for this very transaction
	outside, cancel := context.WithTimeout(mongo.NewSessionContext(ctx, nil), limit)
	defer cancel()
	specs, err := e.client.Database(db).ListCollectionSpecifications(outside, bson.D{{Key: "name", Value: name}})
	if err != nil || len(specs) == 0 || specs[0].UUID == nil {
		return bson.Binary{} // another chunk will know
	}
	e.others.Store(ns, *specs[0].UUID)
	return *specs[0].UUID
}
