package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// sample is what one execution of a peer took.
type sample struct {
	Wall   time.Duration `json:"wall"`
	CPU    time.Duration `json:"cpu"`
	RSS    int64         `json:"rss"`
	Output string        `json:"output"`
	Error  string        `json:"error"`
}

// limit bounds one execution. A peer that needs longer hangs.
const limit = time.Minute

// measure runs all peers in turn. The result has a list of samples per peer,
// in the order of the peers; the samples at one place are of the same round.
func (b *bench) measure(ctx context.Context, peers []peer, warmup, rounds int) ([][]sample, error) {
	samples := make([][]sample, len(peers))
	for round := range warmup + rounds {
		for i := range peers {
			// Each round begins with another peer, so that nobody always comes after the slowest.
			at := (round + i) % len(peers)
			s, err := b.once(ctx, peers[at])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", peers[at].title, err)
			}
			if round >= warmup {
				samples[at] = append(samples[at], s)
			}
		}
	}
	return samples, nil
}

// once runs a peer and checks that it did its work.
func (b *bench) once(ctx context.Context, p peer) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.launch, p.argv...) //nolint:gosec // the peers are our own
	cmd.Env = environment(b.uri)
	cmd.Dir = b.build // a .env file of this directory's parents must not matter
	out, err := cmd.Output()
	if err != nil {
		return sample{}, errors.Join(err, context.Cause(ctx))
	}
	var s sample
	if err := json.Unmarshal(out, &s); err != nil {
		return sample{}, fmt.Errorf("launch printed %q: %w", out, err)
	}
	if s.Error != "" || !strings.Contains(s.Output, email) {
		return sample{}, fmt.Errorf("it failed: %s\n%s", s.Error, s.Output)
	}
	return s, nil
}

// environment is what the peers see: the same for all, and nothing that
// changes how they work.
func environment(uri string) []string {
	env := []string{"MONGODB_URI=" + uri}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SYSTEMROOT"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
