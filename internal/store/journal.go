package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// The journal of a run says how to undo it. A journal document belongs to one transaction; its _id is (run, sequence, part).
// Sequence numbers are drawn when a transaction has made its changes. Of two that changed the same document, the later one did so
// after the commit of the other, or it would have failed with a write conflict; so descending numbers undo in the right order.

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

// JournalBefore returns the newest journal documents that are older than the given one, the newest first: up to n, or as many as fit
// into one answer. A Seq of 0 stands for the end of the journal.
func (s *Store) JournalBefore(ctx context.Context, before JournalID, n int) ([]bson.Raw, error) {
	end := any(before)
	if before.Seq == 0 {
		end = bson.D{{Key: "r", Value: before.Run}, {Key: "s", Value: bson.MaxKey{}}}
	}
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: bson.D{{Key: "r", Value: before.Run}}}, {Key: "$lt", Value: end}}}}
	cur, err := s.journal.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).
		SetLimit(-int64(n)).SetComment(before.Run)) // one answer, and no cursor
	if err != nil {
		return nil, wrap("read the journal of run "+before.Run, err)
	}
	var docs []bson.Raw
	return docs, wrap("read the journal of run "+before.Run, cur.All(ctx, &docs))
}

// JournalFacts is what the documents of a run's journal say altogether.
type JournalFacts struct {
	Docs    int64 `bson:"docs"`
	Bytes   int64 `bson:"bytes"`
	Entries int64 `bson:"entries"`
	// Shared says that chunks of the run may have changed the same documents, so that their order matters.
	Shared bool `bson:"shared"`
	// Ops are the sets of operations that chunks have, as bits that the writer of the journal gave a meaning.
	Ops []int64 `bson:"ops"`
	// Others are the collections beside the run's own that were written to.
	Others []OtherCollection `bson:"others"`
}

// OtherCollection is a collection that a chunk wrote to beside the run's own.
type OtherCollection struct {
	Namespace string `bson:"ns"`
	// Collection is its UUID; it has no data where that wasn't known, as when the chunk itself made the collection.
	Collection bson.Binary `bson:"uuid"`
}

// JournalFacts reads all of a run's journal at the server.
func (s *Store) JournalFacts(ctx context.Context, run string) (JournalFacts, error) {
	sum := func(of any) bson.D { return bson.D{{Key: "$sum", Value: of}} }
	set := func(of string) bson.D { return bson.D{{Key: "$addToSet", Value: of}} }
	pipeline := bson.A{
		bson.D{{Key: "$match", Value: bson.D{{Key: "_id", Value: bson.D{
			{Key: "$gte", Value: bson.D{{Key: "r", Value: run}}},
			{Key: "$lt", Value: bson.D{{Key: "r", Value: run}, {Key: "s", Value: bson.MaxKey{}}}},
		}}}}},
		bson.D{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: nil},
			{Key: "docs", Value: sum(1)},
			{Key: "bytes", Value: sum(bson.D{{Key: "$bsonSize", Value: "$$ROOT"}})},
			{Key: "entries", Value: sum(op("$cond", op("$eq", "$_id.p", 0), "$entries", 0))},
			{Key: "shared", Value: bson.D{{Key: "$max", Value: op("$eq", "$shared", true)}}},
			{Key: "ops", Value: set("$ops")},
			{Key: "others", Value: set("$others")},
		}}},
	}
	var sums []struct {
		Docs, Bytes, Entries int64
		Shared               bool
		Ops                  []int64
		Others               [][]OtherCollection
	}
	cur, err := s.journal.Aggregate(ctx, pipeline, options.Aggregate().SetComment(run))
	if err == nil {
		err = cur.All(ctx, &sums)
	}
	if err != nil || len(sums) == 0 {
		return JournalFacts{}, wrap("measure the journal of run "+run, err)
	}
	all := sums[0]
	facts := JournalFacts{Docs: all.Docs, Bytes: all.Bytes, Entries: all.Entries, Shared: all.Shared, Ops: all.Ops}
	for _, chunk := range all.Others {
		for _, other := range chunk {
			if !slices.ContainsFunc(facts.Others, func(o OtherCollection) bool {
				return o.Namespace == other.Namespace && o.Collection.Equal(other.Collection)
			}) {
				facts.Others = append(facts.Others, other)
			}
		}
	}
	// In an order of their own, so that two looks at the same journal say the same.
	slices.SortFunc(facts.Others, func(a, b OtherCollection) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), bytes.Compare(a.Collection.Data, b.Collection.Data))
	})
	slices.Sort(facts.Ops)
	return facts, nil
}

// JournalSpan is a range of sequences that have hardly any gaps.
type JournalSpan struct{ First, Last int64 }

// epochBits are those of a sequence number below its owner's epoch: a later owner's numbers are greater than all of an earlier one's.
const epochBits = 40

// FirstSequence is the number below the first sequence of an owner.
func FirstSequence(epoch int64) int64 { return epoch << epochBits }

// JournalSpans are the sequences of a run's journal, the newest first: one span for each owner that wrote any.
func (s *Store) JournalSpans(ctx context.Context, run string) ([]JournalSpan, error) {
	find := func(from, to any, dir int) (int64, bool, error) {
		bound := func(seq any) bson.D { return bson.D{{Key: "r", Value: run}, {Key: "s", Value: seq}} }
		filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: bound(from)}, {Key: "$lt", Value: bound(to)}}}}
		var doc struct {
			ID JournalID `bson:"_id"`
		}
		err := s.journal.FindOne(ctx, filter, options.FindOne().SetSort(bson.D{{Key: "_id", Value: dir}}).
			SetProjection(bson.D{{Key: "_id", Value: 1}}).SetComment(run)).Decode(&doc)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return 0, false, nil
		}
		return doc.ID.Seq, err == nil, wrap("look at the journal of run "+run, err)
	}
	var spans []JournalSpan
	var end any = bson.MaxKey{}
	for {
		last, ok, err := find(bson.MinKey{}, end, -1)
		if err != nil || !ok {
			return spans, err
		}
		start := last >> epochBits << epochBits
		first, ok, err := find(start, bson.MaxKey{}, 1)
		if err != nil || !ok {
			return spans, err
		}
		spans = append(spans, JournalSpan{First: first, Last: last})
		end = start
	}
}

// DropJournal deletes the journal documents of one sequence: what others say in its place is written.
func (s *Store) DropJournal(ctx context.Context, id JournalID) error {
	from, to := bson.D{{Key: "r", Value: id.Run}, {Key: "s", Value: id.Seq}}, bson.D{{Key: "r", Value: id.Run}, {Key: "s", Value: id.Seq + 1}}
	_, err := s.journal.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}},
		options.DeleteMany().SetComment(id.Run))
	return own(s.journal, "write the journal of run "+id.Run, err)
}
