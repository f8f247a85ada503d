package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// kills kills each of Rikki's contestants with half of the documents done, has another process wait for its lease and go on, and
// measures how long that takes and how much is done twice.
func (b *bench) kills(ctx context.Context, list []contestant, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d documents of %d bytes, kill -9 with half of them done\n\n", b.docs, b.size)
	fmt.Fprintln(w, "killed at\tlease left, s\tworking after, s\tof it past the lease\twritten again\tdocs/chunk\t \t")
	for _, c := range list {
		if !strings.HasPrefix(c.title, ours) {
			continue
		}
		if err := b.kill(ctx, c, w); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return w.Flush()
}

func (b *bench) kill(ctx context.Context, c contestant, w io.Writer) error {
	if err := b.reset(ctx); err != nil {
		return err
	}
	written, err := b.documentsWritten(ctx)
	if err != nil {
		return err
	}
	cmd := b.Command(ctx, c.dir, c.argv...)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if _, err := b.until(ctx, ended, func(p place) bool { return p.matched >= int64(b.docs/2) }); err != nil {
		return err
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	if err := <-ended; err == nil {
		return errors.New("the process ended before it was killed")
	}
	killed := time.Now()
	run, lease, err := b.lease(ctx)
	if err != nil {
		return err
	}
	at, err := b.place(ctx)
	if err != nil {
		return err
	}
	cmd = b.Command(ctx, c.dir, append(c.argv, run)...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { ended <- cmd.Wait() }()
	if _, err := b.until(ctx, ended, func(p place) bool { return p.chunks > at.chunks }); err != nil {
		return err
	}
	working := time.Since(killed)
	if err := <-ended; err != nil {
		return err
	}
	if err := b.check(ctx, c); err != nil {
		return err
	}
	after, err := b.documentsWritten(ctx)
	if err != nil {
		return err
	}
	end, err := b.place(ctx)
	if err != nil {
		return err
	}
	// The cursors and counters are written with every chunk, in two writes; the rest of Rikki's is next to nothing.
	again := after - written - int64(b.docs) - 2*end.chunks
	fmt.Fprintf(w, "%.0f %%\t%.2f\t%.2f\t%.2f\t%d\t%d\t\t  %s\n", 100*float64(at.matched)/float64(b.docs), lease.Seconds(), working.Seconds(),
		(working - lease).Seconds(), again, end.matched/max(end.chunks, 1), c.title)
	return nil
}

// documentsWritten is how many the server has updated, in transactions that were aborted too.
func (b *bench) documentsWritten(ctx context.Context) (int64, error) {
	doc, err := b.server.Admin(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Raw()
	if err != nil {
		return 0, err
	}
	n, _ := doc.Lookup("metrics", "document", "updated").AsInt64OK()
	return n, nil
}

// place is how far a run is.
type place struct{ matched, chunks int64 }

func (b *bench) place(ctx context.Context) (place, error) {
	cur, err := b.server.Client.Database(history).Collection("partitions").Find(ctx, bson.D{{Key: "n", Value: bson.D{{Key: "$gte", Value: 0}}}})
	if err != nil {
		return place{}, err
	}
	var parts []struct {
		Chunk  int64
		Counts struct{ Matched int64 }
	}
	err = cur.All(ctx, &parts)
	var sum place
	for _, p := range parts {
		sum.matched += p.Counts.Matched
		sum.chunks += p.Chunk
	}
	return sum, err
}

// until waits until a run is where it shall be, or its process has ended.
func (b *bench) until(ctx context.Context, ended <-chan error, there func(place) bool) (place, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p, err := b.place(ctx)
		if err != nil || there(p) {
			return p, err
		}
		select {
		case err := <-ended:
			return p, errors.Join(errors.New("the process ended before"), err)
		case <-tick.C:
		}
	}
}

// lease returns the run of the history, and how long its lease lasts by the server's clock.
func (b *bench) lease(ctx context.Context) (run string, left time.Duration, err error) {
	pipeline := mongo.Pipeline{
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: -1}}}},
		{{Key: "$limit", Value: 1}},
		{{Key: "$project", Value: bson.D{{Key: "left", Value: bson.D{{Key: "$subtract", Value: bson.A{"$lease.expires", "$$NOW"}}}}}}},
	}
	cur, err := b.server.Client.Database(history).Collection("runs").Aggregate(ctx, pipeline, options.Aggregate())
	if err != nil {
		return "", 0, err
	}
	var found []struct {
		ID   string `bson:"_id"`
		Left int64
	}
	if err := cur.All(ctx, &found); err != nil || len(found) != 1 {
		return "", 0, errors.Join(err, fmt.Errorf("%d runs in the history", len(found)))
	}
	return found[0].ID, time.Duration(found[0].Left) * time.Millisecond, nil
}
