package store

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// The journal of a run says how to undo it. A journal document belongs to one transaction; its _id is (run, sequence, part).
// Sequence numbers are drawn when a transaction begins. Of two that changed the same document, the later one began after the
// commit of the other, or it would have failed with a write conflict; so descending numbers undo in the right order.

// JournalID identifies a journal document.
type JournalID struct {
	Run  string `bson:"r"`
	Seq  int64  `bson:"s"`
	Part int    `bson:"p"`
}

// AppendJournal writes journal documents, each with its [JournalID] as _id.
func (s *Store) AppendJournal(ctx context.Context, run string, docs []bson.Raw) error {
	if len(docs) == 0 {
		return nil
	}
	_, err := s.journal.InsertMany(ctx, docs, options.InsertMany().SetComment(run))
	return own(s.journal, "write the journal of run "+run, err)
}

// JournalBefore returns the newest journal document that is older than the given one, or nil. A Seq of 0 stands for the end
// of the journal.
func (s *Store) JournalBefore(ctx context.Context, before JournalID) (bson.Raw, error) {
	end := any(before)
	if before.Seq == 0 {
		end = bson.D{{Key: "r", Value: before.Run}, {Key: "s", Value: bson.MaxKey{}}}
	}
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: bson.D{{Key: "r", Value: before.Run}}}, {Key: "$lt", Value: end}}}}
	doc, err := s.journal.FindOne(ctx, filter,
		options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}).SetComment(before.Run)).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	return doc, wrap("read the journal of run "+before.Run, err)
}

// JournalSize counts the documents of a run's journal, and their bytes.
func (s *Store) JournalSize(ctx context.Context, run string) (docs, bytes int64, err error) {
	pipeline := bson.A{
		bson.D{{Key: "$match", Value: bson.D{{Key: "_id", Value: bson.D{
			{Key: "$gte", Value: bson.D{{Key: "r", Value: run}}},
			{Key: "$lt", Value: bson.D{{Key: "r", Value: run}, {Key: "s", Value: bson.MaxKey{}}}},
		}}}}},
		bson.D{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: nil},
			{Key: "docs", Value: bson.D{{Key: "$sum", Value: 1}}},
			{Key: "bytes", Value: bson.D{{Key: "$sum", Value: bson.D{{Key: "$bsonSize", Value: "$$ROOT"}}}}},
		}}},
	}
	cur, err := s.journal.Aggregate(ctx, pipeline, options.Aggregate().SetComment(run))
	if err != nil {
		return 0, 0, wrap("measure the journal of run "+run, err)
	}
	var sums []struct{ Docs, Bytes int64 }
	if err := cur.All(ctx, &sums); err != nil || len(sums) == 0 {
		return 0, 0, wrap("measure the journal of run "+run, err)
	}
	return sums[0].Docs, sums[0].Bytes, nil
}

// DropJournal deletes the journal documents of one sequence: what others say in its place is written.
func (s *Store) DropJournal(ctx context.Context, id JournalID) error {
	from, to := bson.D{{Key: "r", Value: id.Run}, {Key: "s", Value: id.Seq}}, bson.D{{Key: "r", Value: id.Run}, {Key: "s", Value: id.Seq + 1}}
	_, err := s.journal.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}},
		options.DeleteMany().SetComment(id.Run))
	return own(s.journal, "write the journal of run "+id.Run, err)
}
