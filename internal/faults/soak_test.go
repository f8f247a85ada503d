//go:build linux

package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

const (
	// soakEnv is how long the soak goes on, such as 15m; seedEnv the seed of its faults.
	soakEnv = "RIKKI_SOAK"
	seedEnv = "RIKKI_SOAK_SEED"

	shortSoak = 10 * time.Second
	soakDocs  = 3000
)

// The mixed soak: backfills one after the other in two processes on a set of three, behind proxies, beside other writers, while whatever
// can happen to processes, network and servers does so at random. Each run ends, and all invariants hold; undone, every byte is as before.
func TestBackfillSoak(t *testing.T) {
	t.Parallel()
	lasts, seed := shortSoak, rand.Uint64()
	var err error
	if given := os.Getenv(soakEnv); given != "" {
		if lasts, err = time.ParseDuration(given); err != nil {
			t.Fatal(soakEnv, err)
		}
	}
	if given := os.Getenv(seedEnv); given != "" {
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(seedEnv, err)
		}
	}
	t.Logf("%s=%s %s=%d", soakEnv, lasts, seedEnv, seed)
	set := faultrig.Borrow(t)
	s := onSet(t, set).shortLease()
	s.warm(t)
	soak := &soak{
		scene: s, set: set, rng: rand.New(rand.NewPCG(seed, 0)), routes: set.Routes(t), happened: map[string]int{},
	}
	soak.fleet = []*faultrig.Process{soak.launch(t), soak.launch(t)}
	until, rounds := time.Now().Add(lasts), 0
	for time.Now().Before(until) {
		soak.round(t, rounds, until)
		if rounds++; t.Failed() {
			t.Fatalf("in round %d of seed %d", rounds, seed)
		}
	}
	total := 0
	for _, n := range soak.happened {
		total += n
	}
	if total == 0 || soak.routes.Counts().Accepted == 0 {
		t.Error("nothing happened")
	}
	faultrig.NoDeadLeases(t, s.runs(), 0)
	t.Logf("%d runs of %d documents, %d faults: %v; %d connections broken, %d foreground writes", rounds, soakDocs, total, soak.happened,
		soak.routes.Counts().Broken, soak.wrote.Load())
}

// soak is what goes on.
type soak struct {
	*scene
	set      *faultrig.Set
	rng      *rand.Rand
	routes   *faultrig.Routes
	fleet    []*faultrig.Process
	happened map[string]int
	wrote    atomic.Int64
}

// warm has the history's indexes built: a build that has begun waits for all members, and they won't always be there.
func (s *scene) warm(t *testing.T) {
	t.Helper()
	s.seed(t, "warm", 10)
	p := s.start(t)
	s.await(t, s.enqueue(t, "marks", marks("warm", 10, nil)), time.Minute, rikki.Succeeded)
	p.Terminate()
	if code := p.Wait(t, time.Minute); code != 0 {
		t.Fatal(p.Output())
	}
}

// launch starts a process behind the proxies. It may take its time to get through them.
func (s *soak) launch(t *testing.T) *faultrig.Process {
	t.Helper()
	p := faultrig.Start(t, "serve", s.place, faultrig.Via(s.routes))
	s.alive = append(s.alive, p)
	return p
}

// round is one run under fire, healed, looked at and undone.
func (s *soak) round(t *testing.T, n int, until time.Time) {
	t.Helper()
	coll := s.seed(t, fmt.Sprint("docs", n), soakDocs)
	before, changes := hash(t, coll), faultrig.Record(t, s.db)
	progress := faultrig.Record(t, s.client.Database(s.history()))
	id := s.enqueue(t, "marks", marks(coll.Name(), 20, map[string]any{"rate": 300, "lag": "-1s"}))
	stop := s.write(t, coll)
	for time.Now().Before(until) {
		if record, err := s.app.Record(t.Context(), id); err == nil && record.State.Final() {
			break
		}
		s.strike(t, id)
	}
	stop()
	s.heal(t)
	record := s.await(t, id, 3*time.Minute, rikki.Succeeded)
	if _, err := coll.UpdateMany(t.Context(), bson.D{}, bson.D{{Key: "$unset", Value: bson.D{{Key: "w", Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	s.audit(t, coll, id, soakDocs)
	if err := faultrig.CheckFenced(changes.Changes(t), tokens); err != nil {
		t.Error(err)
	}
	if err := checkChunks(progress.Changes(t)); err != nil {
		t.Error(err)
	}
	s.undo(t, coll, id, before)
	t.Logf("run %d: %d attempts, %d chunks tried again", n, record.Attempt, record.Counters["chunk_retries"])
}

// write has others write the same documents until it is told to stop, and sees that no write that was acknowledged is lost.
func (s *soak) write(t *testing.T, coll *mongo.Collection) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var acked, unsure atomic.Int64
	var writers sync.WaitGroup
	for range 2 {
		seed := s.rng.Uint64()
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				one, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				res, err := coll.UpdateByID(one, rng.IntN(soakDocs), bson.D{{Key: "$inc", Value: bson.D{{Key: "w", Value: 1}}}})
				done()
				if err != nil {
					unsure.Add(1)
				} else {
					acked.Add(res.ModifiedCount)
				}
			}
		})
	}
	return func() {
		cancel()
		writers.Wait()
		s.set.Heal(t)
		var sums []struct{ W int64 }
		cur, err := coll.Aggregate(t.Context(), mongo.Pipeline{{{Key: "$group", Value: bson.D{{Key: "_id", Value: nil}, {Key: "w", Value: bson.D{{Key: "$sum", Value: "$w"}}}}}}})
		if err == nil {
			err = cur.All(t.Context(), &sums)
		}
		if err != nil || len(sums) != 1 || sums[0].W < acked.Load() || sums[0].W > acked.Load()+unsure.Load() {
			t.Errorf("%d foreground writes were acknowledged, of %d nobody knows, and there are %+v (I11), %v", acked.Load(), unsure.Load(), sums, err)
		}
		s.wrote.Add(acked.Load())
	}
}

// strike has one thing happen, and go on for a while.
func (s *soak) strike(t *testing.T, id string) {
	t.Helper()
	strikes := []struct {
		name string
		do   func(*testing.T, string)
	}{
		{"kill a process", s.killOne},
		{"freeze a process", s.freezeOne},
		{"terminate a process", s.terminateOne},
		{"cut", s.cut},
		{"black hole", s.blackHole},
		{"slow network", s.slow},
		{"half answers", s.halfAnswers},
		{"step down", s.stepDown},
		{"kill the primary", s.killPrimary},
		{"freeze the primary", s.freezePrimary},
		{"fail point", s.failPoint},
		{"hold a secondary back", s.holdBack},
		{"pause and resume", s.pauseAndResume},
	}
	one := strikes[s.rng.IntN(len(strikes))]
	s.happened[one.name]++
	one.do(t, id)
	s.last(t, 200*time.Millisecond, time.Second)
}

func (s *soak) last(t *testing.T, least, most time.Duration) {
	t.Helper()
	faultrig.Last(t, least+time.Duration(s.rng.Int64N(int64(most-least))))
}

// replace starts another process in the place of one that is gone.
func (s *soak) replace(t *testing.T, i int) {
	t.Helper()
	s.alive = slices.DeleteFunc(s.alive, func(p *faultrig.Process) bool { return p == s.fleet[i] })
	s.harmed = true
	s.fleet[i] = s.launch(t)
}

func (s *soak) killOne(t *testing.T, _ string) {
	t.Helper()
	i := s.rng.IntN(len(s.fleet))
	s.fleet[i].Kill()
	s.replace(t, i)
}

func (s *soak) terminateOne(t *testing.T, _ string) {
	t.Helper()
	i := s.rng.IntN(len(s.fleet))
	s.fleet[i].Terminate()
	if code := s.fleet[i].Wait(t, time.Minute); code != 0 && !strings.Contains(s.fleet[i].Output(), "serve:") {
		t.Errorf("a process that was told to end did so with code %d:\n%s", code, s.fleet[i].Output())
	}
	s.replace(t, i)
}

func (s *soak) freezeOne(t *testing.T, _ string) {
	t.Helper()
	p := s.fleet[s.rng.IntN(len(s.fleet))]
	p.Freeze(t)
	s.last(t, time.Second, 2*ttl)
	p.Thaw()
}

func (s *soak) cut(t *testing.T, _ string) {
	t.Helper()
	for range 1 + s.rng.IntN(5) {
		s.routes.Cut()
		s.last(t, 50*time.Millisecond, 300*time.Millisecond)
	}
}

// through has the network be so for a while.
func (s *soak) through(t *testing.T, toxics faultrig.Toxics, most time.Duration) {
	t.Helper()
	s.routes.Set(toxics)
	s.last(t, most/4, most)
	s.routes.Set(faultrig.Toxics{})
}

func (s *soak) blackHole(t *testing.T, _ string) {
	t.Helper()
	s.through(t, faultrig.Toxics{BlackHole: true}, 2*ttl)
	s.routes.Cut()
}

func (s *soak) slow(t *testing.T, _ string) {
	t.Helper()
	s.through(t, faultrig.Toxics{Latency: 100 * time.Millisecond, Jitter: 80 * time.Millisecond}, 3*time.Second)
}

func (s *soak) halfAnswers(t *testing.T, _ string) {
	t.Helper()
	s.through(t, faultrig.Toxics{LimitAnswers: 1 + s.rng.Int64N(20_000)}, 2*time.Second)
}

func (s *soak) stepDown(t *testing.T, _ string) {
	t.Helper()
	s.set.StepDown(t)
}

func (s *soak) killPrimary(t *testing.T, _ string) {
	t.Helper()
	s.losePrimary(t, s.set.Kill)
}

func (s *soak) freezePrimary(t *testing.T, _ string) {
	t.Helper()
	s.losePrimary(t, s.set.Freeze)
}

func (s *soak) losePrimary(t *testing.T, harm func(t testing.TB, member int)) {
	t.Helper()
	primary := s.set.Primary(t)
	harm(t, primary)
	s.set.PrimaryOtherThan(t, primary)
	s.last(t, 100*time.Millisecond, 2*time.Second)
	s.set.Heal(t)
}

func (s *soak) failPoint(t *testing.T, _ string) {
	t.Helper()
	fault := failures[s.rng.IntN(len(failures))].fault
	fault.AppName = s.AppName + "-marks"
	point := s.set.Fail(t, s.set.Primary(t), fault)
	s.last(t, 300*time.Millisecond, 2*time.Second)
	if point.Off() == 0 {
		s.happened["(a fail point that nobody met)"]++
	}
}

func (s *soak) holdBack(t *testing.T, _ string) {
	t.Helper()
	secondaries := s.set.Secondaries(t)
	if len(secondaries) == 0 {
		return
	}
	release := s.set.HoldBack(t, secondaries[s.rng.IntN(len(secondaries))])
	s.last(t, time.Second, 3*time.Second)
	release()
}

func (s *soak) pauseAndResume(t *testing.T, id string) {
	t.Helper()
	if _, err := s.app.Pause(t.Context(), id, nil); err != nil {
		return // it has ended
	}
	s.last(t, 100*time.Millisecond, 3*time.Second)
	s.resume(t, id)
}

// resume has the run go on, whatever state the pause has left it in by now.
func (s *soak) resume(t *testing.T, id string) {
	t.Helper()
	faultrig.Eventually(t, time.Minute, "the run to go on", func(ctx context.Context) (bool, error) {
		record, err := s.app.Record(ctx, id)
		if err != nil {
			return false, nil //nolint:nilerr // asked again
		}
		if record.State.Final() || record.State == rikki.Running || record.State == rikki.Queued {
			return true, nil
		}
		_, _ = s.app.Resume(ctx, id, nil) // asked again
		return false, nil
	})
}

// heal puts all right again.
func (s *soak) heal(t *testing.T) {
	t.Helper()
	s.routes.Set(faultrig.Toxics{})
	s.set.Heal(t)
	for i, p := range s.fleet {
		select {
		case <-p.Exited():
			if !strings.Contains(p.Output(), "serve:") {
				t.Errorf("a process has ended by itself:\n%s", p.Output())
			}
			s.replace(t, i)
		default:
		}
	}
}

// Negative control: a loop that tries again what had no answer, on the same networks, does documents twice.
func TestALoopThatTriesAgainIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	const docs = 400
	routes := faultrig.NewRoutes(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(mongotest.Server(t).Port())))
	client := faultrig.Connect(t, s.URI+"&heartbeatFrequencyMS=500", func(o *options.ClientOptions) {
		routes.Options(o)
		o.SetRetryWrites(false).SetAppName(s.AppName)
	})
	for try := range 20 {
		coll := s.seed(t, fmt.Sprint("docs", try), docs)
		for i := range docs {
			if i%40 == 20 {
				routes.Set(faultrig.Toxics{LimitAnswers: 1 + rand.Int64N(60)}) // an answer has more
			}
			for {
				_, err := client.Database(s.Database).Collection(coll.Name()).UpdateByID(t.Context(), i, bson.D{
					{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Token: 1}}}},
				})
				if err == nil {
					break
				}
				routes.Set(faultrig.Toxics{})
			}
		}
		if err := faultrig.CheckExactlyOnce(t.Context(), coll, docs); err != nil {
			t.Logf("%d connections broken: %v", routes.Counts().Broken, err)
			return
		}
	}
	t.Error("a loop tried again what had been done and nobody noticed")
}
