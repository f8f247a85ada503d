package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	// foregroundRate is how many reads and how many writes others do a second. Each begins when it is due, however long those
	// before it take: who waits for one answer before the next question doesn't see a server that stands still.
	foregroundRate = 100
	// alone is how long they are measured with nothing beside them.
	alone = 8 * time.Second
)

// beside measures what others feel: reads and writes of single documents, alone and beside each contestant.
func (b *bench) beside(ctx context.Context, list []contestant, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d documents of %d bytes; %d reads and %d writes a second of single documents; ms\n\n", b.docs, b.size, foregroundRate, foregroundRate)
	fmt.Fprintln(w, "reads: p50\tp95\tp99\t× alone\twrites: p50\tp95\tp99\t× alone\tdocs/s\t \t")
	if err := b.reset(ctx); err != nil {
		return err
	}
	ids, err := b.someIDs(ctx)
	if err != nil {
		return err
	}
	quiet, cancel := context.WithTimeout(ctx, alone)
	defer cancel()
	reads, writes := b.traffic(quiet, ids)
	line := func(r, w2 latencies, rate float64, title string) {
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%.1f\t%.2f\t%.2f\t%.2f\t%.1f\t%.0f\t\t  %s\n", r.at(50), r.at(95), r.at(99), r.at(95)/reads.at(95),
			w2.at(50), w2.at(95), w2.at(99), w2.at(95)/writes.at(95), rate, title)
	}
	line(reads, writes, 0, "nothing")
	for _, c := range list {
		if err := b.reset(ctx); err != nil {
			return err
		}
		meanwhile, ended := context.WithCancel(ctx)
		began := time.Now()
		var failed error
		go func() {
			defer ended()
			_, failed = b.Run(ctx, limit, c.dir, c.argv...)
		}()
		r, w2 := b.traffic(meanwhile, ids)
		if failed != nil {
			return fmt.Errorf("%s: %w", c.title, failed)
		}
		rate := float64(c.docs) / time.Since(began).Seconds()
		line(r, w2, rate, c.title)
		fmt.Fprintf(b.News, "%-18s %9.0f docs/s, p95 of reads %.2f ms, of writes %.2f ms\n", c.name, rate, r.at(95), w2.at(95))
	}
	return w.Flush()
}

// someIDs are those that others read and write.
func (b *bench) someIDs(ctx context.Context) ([]bson.RawValue, error) {
	cur, err := b.server.DB.Collection(pristine).Aggregate(ctx, bson.A{
		bson.D{{Key: "$sample", Value: bson.D{{Key: "size", Value: 2000}}}},
		bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	if err := cur.All(ctx, &docs); err != nil {
		return nil, err
	}
	ids := make([]bson.RawValue, len(docs))
	for i, doc := range docs {
		ids[i] = doc.Lookup("_id")
	}
	return ids, nil
}

// latencies are in milliseconds, in order.
type latencies []float64

func (l latencies) at(percent int) float64 {
	if len(l) == 0 {
		return 0
	}
	return l[len(l)*percent/100]
}

// traffic reads and writes at a fixed rate until ctx ends, and returns how long each took that had an answer.
func (b *bench) traffic(ctx context.Context, ids []bson.RawValue) (reads, writes latencies) {
	coll := b.server.DB.Collection(collection)
	request := context.WithoutCancel(ctx) // what has begun is waited for
	var mu sync.Mutex
	var open sync.WaitGroup
	timed := func(into *latencies, do func(id bson.RawValue) error) {
		id := ids[rand.IntN(len(ids))] //nolint:gosec // any will do
		open.Go(func() {
			began := time.Now()
			err := do(id)
			took := float64(time.Since(began).Microseconds()) / 1000
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				*into = append(*into, took)
			}
		})
	}
	tick := time.NewTicker(time.Second / foregroundRate)
	defer tick.Stop()
	for ctx.Err() == nil {
		timed(&reads, func(id bson.RawValue) error {
			return coll.FindOne(request, bson.D{{Key: "_id", Value: id}}).Err()
		})
		timed(&writes, func(id bson.RawValue) error {
			_, err := coll.UpdateByID(request, id, bson.D{{Key: "$inc", Value: bson.D{{Key: "visits", Value: 1}}}})
			return err
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	open.Wait()
	slices.Sort(reads)
	slices.Sort(writes)
	return reads, writes
}
