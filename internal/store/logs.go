package store

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// logKey is a record's _id: the run and its number. So the index that every collection has is all that logs need.
type logKey struct {
	Run string `bson:"r"`
	Seq int64  `bson:"n"`
}

type logDoc struct {
	Key     logKey     `bson:"_id"`
	Time    time.Time  `bson:"at"`
	Level   slog.Level `bson:"level"`
	Message string     `bson:"msg"`
	Attrs   bson.D     `bson:"attrs,omitempty"`
	Cut     *Cut       `bson:"cut,omitempty"`
}

// AppendLogs stores records of a run's log. It is idempotent: a record whose number is stored already stays as it is, so
// that a batch with an unknown outcome can be sent again. Messages and attributes above 64 KiB are cut and say so.
func (s *Store) AppendLogs(ctx context.Context, id string, logs []Log) error {
	if len(logs) == 0 {
		return nil
	}
	docs := make([]any, len(logs))
	for i, l := range logs {
		docs[i] = newLogDoc(id, l)
	}
	// The driver splits what is too large for one command.
	_, err := s.logs.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false).SetComment(id))
	if onlyDuplicates(err) {
		return nil
	}
	return wrap("store the log of run "+id, err)
}

// newLogDoc is the record with its attributes as BSON already: one that BSON can't hold must not stop the others.
func newLogDoc(id string, l Log) bson.D {
	d := bson.D{
		{Key: "_id", Value: logKey{Run: id, Seq: l.Seq}},
		{Key: "at", Value: l.Time},
		{Key: "level", Value: int(l.Level)},
		{Key: "msg", Value: clip(l.Message, textLimit)},
	}
	var cut *Cut
	if len(l.Message) > textLimit {
		cut = &Cut{Bytes: int64(len(l.Message)), Why: "the message is too large"}
	}
	if len(l.Attrs) > 0 {
		switch attrs, attrsCut := fit(l.Attrs, textLimit); attrsCut {
		case nil:
			d = append(d, bson.E{Key: "attrs", Value: attrs})
		default:
			cut = attrsCut
			cut.Why = "the attributes are left out: " + cut.Why
		}
	}
	if cut != nil {
		d = append(d, bson.E{Key: "cut", Value: cut})
	}
	return d
}

func onlyDuplicates(err error) bool {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return false
	}
	return !slices.ContainsFunc(bulk.WriteErrors, func(e mongo.BulkWriteError) bool { return e.Code != codeDuplicateKey })
}

// Logs lists the log of a run, oldest first. It reads page by page and holds no cursor; to follow a log, ask again after
// the last number seen.
func (s *Store) Logs(ctx context.Context, id string, f LogFilter) iter.Seq2[Log, error] {
	return func(yield func(Log, error) bool) {
		if f.Tail > 0 {
			f.yieldTail(ctx, s, id, yield)
			return
		}
		last, left := f.AfterSeq, f.Limit
		for {
			n := pageSize
			if f.Limit > 0 {
				n = min(n, left)
			}
			logs, err := s.logPage(ctx, f.match(id, last, math.MaxInt64), 1, n)
			if err != nil {
				yield(Log{}, wrap("read the log of run "+id, err))
				return
			}
			for _, l := range logs {
				if !yield(l, nil) {
					return
				}
			}
			left -= len(logs)
			if len(logs) < n || f.Limit > 0 && left <= 0 {
				return
			}
			last = logs[len(logs)-1].Seq
		}
	}
}

// yieldTail reads the end backwards and turns it round.
func (f LogFilter) yieldTail(ctx context.Context, s *Store, id string, yield func(Log, error) bool) {
	var tail []Log
	for before := int64(math.MaxInt64); len(tail) < f.Tail; {
		n := min(pageSize, f.Tail-len(tail))
		logs, err := s.logPage(ctx, f.match(id, f.AfterSeq, before), -1, n)
		if err != nil {
			yield(Log{}, wrap("read the log of run "+id, err))
			return
		}
		tail = append(tail, logs...)
		if len(logs) < n {
			break
		}
		before = logs[len(logs)-1].Seq
	}
	slices.Reverse(tail)
	if f.Limit > 0 {
		tail = tail[:min(len(tail), f.Limit)]
	}
	for _, l := range tail {
		if !yield(l, nil) {
			return
		}
	}
}

// match selects the records with after < number < before.
func (f LogFilter) match(id string, after, before int64) bson.D {
	m := bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gt", Value: logKey{Run: id, Seq: after}},
		{Key: "$lt", Value: logKey{Run: id, Seq: before}},
	}}}
	if f.MinLevel != nil {
		m = append(m, bson.E{Key: "level", Value: bson.D{{Key: "$gte", Value: int(f.MinLevel.Level())}}})
	}
	if f.Text != "" {
		m = append(m, bson.E{Key: "msg", Value: containing(f.Text, "i")})
	}
	return m
}

func (s *Store) logPage(ctx context.Context, match bson.D, order, n int) ([]Log, error) {
	cur, err := s.logs.Find(ctx, match, options.Find().SetSort(bson.D{{Key: "_id", Value: order}}).
		SetLimit(int64(n)).SetBatchSize(int32(n)+1).SetComment("rikki read")) //nolint:gosec // n is at most a page
	if err != nil {
		return nil, err
	}
	var docs []logDoc
	if err := cur.All(ctx, &docs); err != nil {
		return nil, err
	}
	logs := make([]Log, len(docs))
	for i, d := range docs {
		logs[i] = Log{Seq: d.Key.Seq, Time: d.Time, Level: d.Level, Message: d.Message, Attrs: d.Attrs, Cut: d.Cut}
	}
	return logs, nil
}
