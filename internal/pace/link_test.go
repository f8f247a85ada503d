package pace

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// farServer is a server with two cores at the end of a link. A chunk has some round trips, one of which is its commit.
type farServer struct {
	trip, cost, base time.Duration // base is what the server takes for a chunk, whatever is in it
	noise            float64       // of the round trips and of the documents, as a share
	mu               sync.Mutex
	blind            bool // nobody tells how many round trips there are
	cores            chan struct{}
	random           *rand.Rand
}

const farTrips = 7

func newFarServer(trip, cost time.Duration, noise float64) *farServer {
	return &farServer{trip: trip, cost: cost, noise: noise, cores: make(chan struct{}, 2), random: rand.New(rand.NewPCG(1, 2))} //nolint:mnd // cores
}

func (f *farServer) about(d time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(float64(d) * max(0.3, 1+f.noise*f.random.NormFloat64()))
}

// chunk takes as long as the chunk would, by the clock of the bubble.
func (f *farServer) chunk(docs int) Outcome {
	began := time.Now()
	o := Outcome{Docs: docs, Trips: farTrips}
	trip := func() {
		d := max(f.about(f.trip), f.trip) // a link is never faster than it is
		time.Sleep(d)
		if o.Trip == 0 || d < o.Trip {
			o.Trip = d
		}
	}
	for range farTrips - 1 {
		trip()
	}
	f.cores <- struct{}{}
	time.Sleep(f.base + f.about(time.Duration(docs)*f.cost))
	<-f.cores
	commit := time.Now()
	trip()
	o.Commit, o.Took = time.Since(commit), time.Since(began)
	if f.blind {
		o.Trips, o.Trip, o.Commit = 0, 0, 0
	}
	return o
}

// best is how many documents a second there could be with so many workers.
func (f *farServer) best(workers int, target time.Duration) float64 {
	rest := farTrips*f.trip + f.base
	docs := min(max(max(target, min(rest/2, linkStretch*target)).Seconds()/f.cost.Seconds(), 1), MaxChunk)
	own := docs * f.cost.Seconds()
	return min(float64(workers)*docs/(rest.Seconds()+own), 2*docs/(f.base.Seconds()+own))
}

// drive has up to so many workers do chunks. It returns how many documents they did in a second, once they had time to learn, and how many
// the smallest chunk had since.
func drive(t *testing.T, c *Controller, server *farServer, most int) (rate float64, least int) {
	t.Helper()
	first := 20*time.Second + 30*farTrips*server.trip
	then := 2 * first
	began := time.Now()
	var mu sync.Mutex
	docs := 0
	least = MaxChunk
	var workers sync.WaitGroup
	for i := range most {
		workers.Go(func() {
			for time.Since(began) < first+then {
				if i >= c.Workers() {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				turn, err := c.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				o := server.chunk(turn.Docs)
				turn.Done(o)
				mu.Lock()
				if time.Since(began) > first {
					docs += o.Docs
					least = min(least, o.Docs)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return float64(docs) / then.Seconds(), least
}

// Whatever the round trip is and whatever documents cost, chunks are as large as they should be.
func TestChunksOverALink(t *testing.T) {
	t.Parallel()
	trips := []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second}
	for _, trip := range trips {
		for _, cost := range []time.Duration{10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 20 * time.Millisecond} {
			for _, start := range []int{10, StartChunk, 5000} {
				for _, blind := range []bool{false, true} {
					t.Run(fmt.Sprintf("trip=%s/cost=%s/start=%d/blind=%t", trip, cost, start, blind), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							const noise, workers = 0.1, 2
							server := newFarServer(trip, cost, noise)
							server.blind = blind
							c := newController(t, Config{Settings: Settings{Workers: workers}})
							c.size.move(start)
							rate, least := drive(t, c, server, workers)
							enough := 0.9
							if trip >= time.Second { // most of what a chunk takes is chance then
								enough = 0.8
							}
							if best := server.best(workers, DefaultTarget); rate < enough*best {
								t.Errorf("%.1f documents/s, %.0f%% of the best; chunks of %d at least; fixed %.3f s, %.6f s per document",
									rate, 100*rate/best, least, c.size.fixed, c.size.cost)
							}
						})
					})
				}
			}
		}
	}
}

// Before anything was learnt, too: the first chunks over a link take long, and no fewer documents would make them faster.
func TestTheTimeOfTheLinkIsNotThatOfTheDocuments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFarServer(100*time.Millisecond, 100*time.Microsecond, 0)
		c := newController(t, Config{Settings: Settings{Workers: 1}})
		for i := range 5 {
			turn := next(t, c)
			if turn.Docs < StartChunk {
				t.Errorf("chunk %d has %d documents", i, turn.Docs)
			}
			turn.Done(server.chunk(turn.Docs))
		}
	})
}

// The link gets slow or fast, and documents get dear or cheap, while the run goes on. What chunks take is mostly chance.
func TestChunksFollowAChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*farServer){
		"SlowLink":   func(f *farServer) { f.trip = 200 * time.Millisecond },
		"SlowServer": func(f *farServer) { f.base = time.Second },
		"Dear":       func(f *farServer) { f.cost *= 20 },
		"Cheap":      func(f *farServer) { f.cost /= 20 },
		"Everything": func(f *farServer) { f.trip, f.base, f.cost = 100*time.Millisecond, 500*time.Millisecond, 5*f.cost },
	} {
		for _, blind := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/blind=%t", name, blind), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					const noise, workers = 0.25, 2
					server := newFarServer(5*time.Millisecond, 200*time.Microsecond, noise)
					server.blind = blind
					c := newController(t, Config{Settings: Settings{Workers: workers}})
					drive(t, c, server, workers)
					change(server)
					rate, least := drive(t, c, server, workers)
					if best := server.best(workers, DefaultTarget); rate < 0.7*best {
						t.Errorf("%.1f documents/s, %.0f%% of the best; chunks of %d at least; fixed %.3f s, %.6f s per document",
							rate, 100*rate/best, least, c.size.fixed, c.size.cost)
					}
				})
			})
		}
	}
}

// Where the link is the limit, more chunks are under way, up to a bound; where it isn't, or people have said how many, not.
func TestMoreWorkersOverALink(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		trip       time.Duration
		asked      int // by an override
		want, most int
	}{{0, 0, 2, 2}, {time.Millisecond, 0, 2, 2}, {100 * time.Millisecond, 0, 5, 8}, {100 * time.Millisecond, 2, 2, 2}, {100 * time.Millisecond, 3, 3, 3}} {
		synctest.Test(t, func(t *testing.T) {
			const most = 8
			server := newFarServer(tc.trip, time.Millisecond, 0.1)
			c := newController(t, Config{Settings: Settings{Workers: 2, MostWorkers: most}})
			if tc.asked > 0 {
				if err := c.SetOverrides(Override{Workers: &tc.asked}); err != nil {
					t.Fatal(err)
				}
			}
			rate, _ := drive(t, c, server, most)
			if n := c.Workers(); n < tc.want || n > tc.most || c.Stats().Workers != n {
				t.Errorf("%s: %d workers, want %d to %d", tc.trip, n, tc.want, tc.most)
			}
			if best := server.best(tc.want, DefaultTarget); rate < 0.85*best {
				t.Errorf("%s: %.0f documents/s of %.0f", tc.trip, rate, best)
			}
		})
	}
}

// Beside others, too, more than one chunk is under way over a link, and still no more work at a time than one that is near.
func TestGentleOverALink(t *testing.T) {
	t.Parallel()
	for trip, want := range map[time.Duration]int{0: 1, 100 * time.Millisecond: 4} {
		synctest.Test(t, func(t *testing.T) {
			c := newController(t, Config{Settings: Settings{Workers: 2, MostWorkers: 8, Gentle: GentleAlways}})
			server := newFarServer(trip, 50*time.Microsecond, 0)
			rate, _ := drive(t, c, server, 8)
			if share := rate * server.cost.Seconds(); share > 0.85 {
				t.Errorf("%s: %.2f of a core", trip, share)
			}
			if room := c.link.room(); trip == 0 && room != want || room < want {
				t.Errorf("%s: %d at a time, want %d", trip, room, want)
			}
		})
	}
}
