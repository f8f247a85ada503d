package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

// limit bounds one turn.
const limit = 20 * time.Minute

// turns measures the contestants in turn.
func (b *bench) turns(ctx context.Context, list []contestant, missing []string, out io.Writer) error {
	samples := make([][]measure.Sample, len(list))
	err := measure.Turns(b.rounds, len(list), func(round, i int) error {
		s, err := b.turn(ctx, list[i])
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", list[i].title, err, s.Output)
		}
		samples[i] = append(samples[i], s)
		fmt.Fprintf(b.News, "round %d: %-18s %8.2f s %9.0f docs/s, %5.1f MiB, CPU %.2f s, mongod's %.2f s\n", round+1, list[i].name,
			s.Wall.Seconds(), measure.Rate(s), measure.MiB(s), s.CPU.Seconds(), s.Server.CPU.Seconds())
		return nil
	})
	if err != nil {
		return err
	}
	r := b.summarize(list, missing, samples)
	if err := measure.Keep(b.json, r); err != nil {
		return err
	}
	return r.print(out)
}

// turn resets the collection, lets one contestant loose, and checks what it has done.
func (b *bench) turn(ctx context.Context, c contestant) (measure.Sample, error) {
	if err := b.reset(ctx); err != nil {
		return measure.Sample{}, err
	}
	before, err := b.server.Counters(ctx)
	if err != nil {
		return measure.Sample{}, err
	}
	s, err := b.Run(ctx, limit, c.dir, c.argv...)
	if err != nil {
		return s, err
	}
	after, err := b.server.Counters(ctx)
	if err != nil {
		return s, err
	}
	s.Server, s.Docs = after.Since(before), c.docs
	return s, b.check(ctx, c)
}
