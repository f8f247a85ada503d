package store

import (
	"context"
	"iter"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// DocFailure is a document that a run could not process. It is written in the transaction that passes the document by.
type DocFailure struct {
	Key      bson.RawValue `bson:"key"`
	Class    string        `bson:"class"` // groups what fails alike
	Message  string        `bson:"message"`
	Stack    string        `bson:"stack,omitempty"` // of a panic
	Attempts int           `bson:"attempts"`
	At       time.Time     `bson:"at"`
	// Root is the run in which the document failed first, if this one is a retry of what failed. By, there, is the retry that has
	// done the document since.
	Root string `bson:"root,omitempty"`
	By   string `bson:"by,omitempty"`
}

// MessageLimit is how many bytes of a failure's message are kept.
const MessageLimit = findingLimit

// ClipMessage shortens a message to what fits into so many bytes, and says how long it was.
func ClipMessage(message string, limit int) string {
	if len(message) <= limit {
		return clip(message, limit)
	}
	return clip(message, limit-noteRoom)
}

// noteRoom is what the note takes that a message was cut.
const noteRoom = 40

func failureKey(run string, key any) bson.D {
	return bson.D{{Key: "r", Value: run}, {Key: "k", Value: key}}
}

// failuresOf selects the failures behind a key. A zero key is no bound: the least and the greatest key are keys too.
func failuresOf(run string, after bson.RawValue) bson.D {
	lower, upper := bson.D{{Key: "r", Value: run}}, append(failureKey(run, bson.MaxKey{}), bson.E{Key: "end", Value: true})
	if !after.IsZero() {
		lower = failureKey(run, after)
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: lower}, {Key: "$lt", Value: upper}}}}
}

// AddFailures records documents that could not be processed. One that is known already is replaced.
func (s *Store) AddFailures(ctx context.Context, run string, failures []DocFailure) error {
	if len(failures) == 0 {
		return nil
	}
	writes := make([]mongo.WriteModel, len(failures))
	for i, f := range failures {
		id := failureKey(run, f.Key)
		doc := bson.D{
			{Key: "_id", Value: id},
			{Key: "key", Value: f.Key},
			{Key: "class", Value: clip(f.Class, wordLimit)},
			{Key: "message", Value: ClipMessage(f.Message, MessageLimit)},
			{Key: "attempts", Value: f.Attempts},
			{Key: "at", Value: f.At},
		}
		if f.Root != "" {
			doc = append(doc, bson.E{Key: "root", Value: f.Root})
		}
		if f.Stack != "" {
			doc = append(doc, bson.E{Key: "stack", Value: ClipMessage(f.Stack, MessageLimit)})
		}
		writes[i] = mongo.NewReplaceOneModel().SetUpsert(true).SetFilter(bson.D{{Key: "_id", Value: id}}).SetReplacement(doc)
	}
	_, err := s.failures.BulkWrite(ctx, writes, options.BulkWrite().SetComment(run))
	return own(s.failures, "record failures of run "+run, err)
}

// Failures lists the documents that a run could not process, in the order of their keys, page by page.
func (s *Store) Failures(ctx context.Context, run string) iter.Seq2[DocFailure, error] {
	return func(yield func(DocFailure, error) bool) {
		var after bson.RawValue
		for {
			cur, err := s.failures.Find(ctx, failuresOf(run, after), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).
				SetLimit(pageSize).SetBatchSize(pageSize+1).SetComment(run))
			if err != nil {
				yield(DocFailure{}, wrap("read failures of run "+run, err))
				return
			}
			var page []DocFailure
			if err := cur.All(ctx, &page); err != nil {
				yield(DocFailure{}, wrap("read failures of run "+run, err))
				return
			}
			for _, f := range page {
				if !yield(f, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}

// FailedAmong returns the failures of a run that are about these keys.
func (s *Store) FailedAmong(ctx context.Context, run string, keys []bson.RawValue) ([]DocFailure, error) {
	cur, err := s.failures.Find(ctx, failuresIn(run, keys), options.Find().SetComment(run))
	if err != nil {
		return nil, wrap("read failures of run "+run, err)
	}
	var found []DocFailure
	return found, wrap("read failures of run "+run, cur.All(ctx, &found))
}

// FailedKeys returns the keys of a run's failures, lower < key ≤ upper. A zero lower is no bound.
func (s *Store) FailedKeys(ctx context.Context, run string, lower, upper bson.RawValue) ([]bson.RawValue, error) {
	var from any = bson.MinKey{}
	op := "$gte"
	if !lower.IsZero() {
		from, op = lower, "$gt"
	}
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: op, Value: failureKey(run, from)}, {Key: "$lte", Value: failureKey(run, upper)}}}}
	cur, err := s.failures.Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "key", Value: 1}}).SetComment(run))
	if err != nil {
		return nil, wrap("read failures of run "+run, err)
	}
	var found []struct {
		Key bson.RawValue `bson:"key"`
	}
	if err := cur.All(ctx, &found); err != nil {
		return nil, wrap("read failures of run "+run, err)
	}
	keys := make([]bson.RawValue, len(found))
	for i, f := range found {
		keys[i] = f.Key
	}
	return keys, nil
}

// MarkDone notes in the failures of a run which of them a retry has done. In the transaction that does them, it keeps any other retry
// from doing them again: of two at the same time, one conflicts.
func (s *Store) MarkDone(ctx context.Context, root string, keys []bson.RawValue, by string) error {
	for part := range slices.Chunk(keys, pageSize) {
		mark := bson.D{{Key: "$set", Value: bson.D{{Key: "by", Value: by}}}}
		if _, err := s.failures.UpdateMany(ctx, failuresIn(root, part), mark, options.UpdateMany().SetComment(by)); err != nil {
			return own(s.failures, "note what run "+by+" has done", err)
		}
	}
	return nil
}

// DoneSince returns, by their keys, which retry has done what failed in a run.
func (s *Store) DoneSince(ctx context.Context, root string, keys []bson.RawValue) ([]DocFailure, error) {
	var all []DocFailure
	for part := range slices.Chunk(keys, pageSize) {
		filter := append(failuresIn(root, part), bson.E{Key: "by", Value: bson.D{{Key: "$exists", Value: true}}})
		cur, err := s.failures.Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "key", Value: 1}, {Key: "by", Value: 1}}).SetComment(root))
		if err != nil {
			return nil, wrap("read failures of run "+root, err)
		}
		var found []DocFailure
		if err := cur.All(ctx, &found); err != nil {
			return nil, wrap("read failures of run "+root, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func failuresIn(run string, keys []bson.RawValue) bson.D {
	ids := make(bson.A, len(keys))
	for i, key := range keys {
		ids[i] = failureKey(run, key)
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
}
