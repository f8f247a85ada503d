//go:build linux

package anybackfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(mongotest.MainAfter(m, func() error { return errors.Join(worlds[0].stop(), worlds[1].stop()) }))
}

// worlds are the servers: a replica set, and a standalone one.
var worlds = [2]*world{{}, {standalone: true}} //nolint:gochecknoglobals // a test binary is one program with one TestMain

const (
	runEnv    = "RIKKI_ANYBACKFILL"        // see the package
	seedsEnv  = "RIKKI_ANYBACKFILL_SEEDS"  // the first seed of a duration; by default one of the moment
	atEnv     = "RIKKI_ANYBACKFILL_ATONCE" // cases at a time
	onlyEnv   = "RIKKI_ANYBACKFILL_KIND"   // only cases with this kind of script, or with !KIND without
	shrinkEnv = "RIKKI_ANYBACKFILL_ASIS"   // cases are not made smaller
	keepEnv   = "RIKKI_ANYBACKFILL_KEEP"   // a directory for what was found; the search goes on
)

// fixed is how many seeds are run without anything said: about a minute of them. They are the same on every machine.
const fixed = 120

// TestAnyBackfill runs cases.
func TestAnyBackfill(t *testing.T) {
	mongotest.Wanted(t)
	h := &hunt{t: t, hist: "hist" + strconv.Itoa(rand.IntN(1e6)), tally: tally{why: map[string]int{}}, began: time.Now()}
	switch what := os.Getenv(runEnv); {
	case what == "":
		h.seeds, h.until = fixedSeeds(), time.Now().Add(15*time.Minute)
	case strings.HasPrefix(what, "@"):
		data, err := os.ReadFile(strings.TrimPrefix(what, "@"))
		if err != nil {
			t.Fatal(err)
		}
		var c Case
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		h.single = &c
	default:
		if d, err := time.ParseDuration(what); err == nil {
			h.until = time.Now().Add(d)
			h.seeds = endless()
		} else if seed, err := strconv.ParseUint(what, 10, 64); err == nil {
			h.single = Generate(seed)
		} else {
			t.Fatalf("%s=%s: say a seed, a duration or @FILE", runEnv, what)
		}
	}
	if h.single != nil {
		fmt.Print(h.single)
		log, err := h.run(h.single)
		for _, line := range log {
			fmt.Println(line)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	h.search()
}

// foundOnce are seeds of a search that have found what is mended since. The fixed seeds end with them.
var foundOnce = []uint64{ //nolint:gochecknoglobals // a list
	1796094674113, // an undo without transactions that took back nothing: no count told of the changes
	1796094673883, // rows that a validator refused half-way
}

func fixedSeeds() func() (uint64, bool) {
	n, later := uint64(0), slices.Clone(foundOnce)
	return func() (uint64, bool) {
		for n++; Generate(n).open(); n++ {
		}
		if n <= fixed {
			return n, true
		}
		if len(later) == 0 {
			return 0, false
		}
		seed := later[0]
		later = later[1:]
		return seed, true
	}
}

// open tells whether a case would meet a fault that is known and not mended yet. The fixed seeds leave it out; new ones don't.
func (c *Case) open() bool {
	return c.Standalone && len(c.Knobs.Fields) > 0 // without transactions the guard of the fields may come too late, as the docs say
}

func endless() func() (uint64, bool) {
	n := uint64(time.Now().Unix()) * 1000
	if given, err := strconv.ParseUint(os.Getenv(seedsEnv), 10, 64); err == nil {
		n = given
	}
	return func() (uint64, bool) {
		n++
		return n, true
	}
}

// hunt is a search for cases that fail.
type hunt struct {
	t      *testing.T
	single *Case
	hist   string
	seeds  func() (uint64, bool)
	until  time.Time
	began  time.Time

	crowd sync.RWMutex // see together

	mu    sync.Mutex
	tally tally
	kinds map[string]int
	first map[string]int // which case was the first of its kind
}

func (h *hunt) next() (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().After(h.until) || h.t.Failed() && os.Getenv(keepEnv) == "" {
		return 0, false
	}
	seed, ok := h.seeds()
	return seed, ok
}

func (h *hunt) search() {
	h.kinds, h.first = map[string]int{}, map[string]int{}
	atOnce := 3
	if n, err := strconv.Atoi(os.Getenv(atEnv)); err == nil {
		atOnce = n
	}
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for {
				seed, ok := h.next()
				if !ok {
					return
				}
				h.one(seed)
			}
		})
	}
	workers.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	took := time.Since(h.began)
	h.t.Logf("%d cases in %s (%.1f a second), %d runs, %d documents changed, %d events, %d failures recorded, %d refused, %d undone; found %v",
		h.tally.cases, took.Round(time.Second), float64(h.tally.cases)/took.Seconds(), h.tally.runs, h.tally.changed, h.tally.events, h.tally.failures, h.tally.refused, h.tally.undone, h.kinds)
	if testing.Verbose() {
		var lines []string
		for why, n := range h.tally.why {
			lines = append(lines, fmt.Sprintf("%4d %s", n, why))
		}
		slices.Sort(lines)
		slices.Reverse(lines)
		for _, line := range lines[:min(len(lines), 40)] {
			h.t.Log("refused:", line)
		}
	}
}

// one plays the case of a seed, and makes it smaller if it fails.
func (h *hunt) one(seed uint64) {
	c, began := Generate(seed), time.Now()
	if only := os.Getenv(onlyEnv); only != "" && strings.HasPrefix(only, "!") == (strings.TrimPrefix(only, "!") == c.Script.Kind) {
		return
	}
	log, err := h.run(c)
	if took := time.Since(began); took > 10*time.Second && testing.Verbose() {
		fmt.Printf("seed %d took %s: %v\n", seed, took.Round(time.Second), log)
	}
	h.mu.Lock()
	h.tally.cases++
	n := h.tally.cases
	h.mu.Unlock()
	if err == nil {
		return
	}
	f, ok := errors.AsType[*Finding](err)
	if !ok {
		f = &Finding{"rig", err.Error()}
	}
	h.mu.Lock()
	h.kinds[f.Kind]++
	times := h.kinds[f.Kind]
	if times == 1 {
		h.first[f.Kind] = n
	}
	h.mu.Unlock()
	keep := os.Getenv(keepEnv)
	small, smallErr, smallLog := c, error(f), log
	if f.Kind != "rig" && os.Getenv(shrinkEnv) == "" && (keep == "" || times <= 3) {
		small, smallLog, smallErr = h.shrink(c, f, log)
	}
	h.report(seed, n, f, small, smallErr, smallLog)
}

func (h *hunt) report(seed uint64, n int, f *Finding, small *Case, smallErr error, log []string) {
	data, err := json.Marshal(small)
	if err != nil {
		h.t.Error(err)
		return
	}
	text := fmt.Sprintf("seed %d, case %d\n%v\n\nmade smaller:\n%v\n%s\n%s\n", seed, n, f, smallErr, small, strings.Join(log, "\n"))
	dir := os.Getenv(keepEnv)
	if dir == "" {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("anybackfill-%d.json", seed))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			h.t.Error(err)
		}
		h.t.Errorf("%s\n%s=%d does it again, and %s=@%s the smaller one", text, runEnv, seed, runEnv, name)
		return
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%d", f.Kind, seed))
	if err := errors.Join(os.WriteFile(name+".txt", []byte(text), 0o600), os.WriteFile(name+".json", data, 0o600)); err != nil {
		h.t.Error(err)
	}
	h.t.Errorf("case %d, seed %d: %v", n, seed, f)
}

// run plays a case once.
func (h *hunt) run(c *Case) (log []string, err error) {
	w := worlds[0]
	if c.Standalone {
		w = worlds[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for try := 0; ; try++ {
		release := h.together()
		if try > 0 { // alone: whoever ends the server now has ended it
			release()
			release = h.apart()
		}
		log, err, again := h.once(ctx, w, c, try)
		release()
		if !again {
			return log, err
		}
	}
}

// together and apart are how a case is run: beside others, or alone.
func (h *hunt) together() (release func()) {
	h.crowd.RLock()
	return h.crowd.RUnlock
}

func (h *hunt) apart() (release func()) {
	h.crowd.Lock()
	return h.crowd.Unlock
}

// once plays a case, and tells whether it has to be played again, since the server has died and nobody knows of what.
func (h *hunt) once(ctx context.Context, w *world, c *Case, try int) (log []string, err error, again bool) { //nolint:revive // the error belongs to the log
	client, uri, deaths, err := w.get(ctx)
	if err != nil {
		return nil, err, false
	}
	name := fmt.Sprintf("any_%x_%x", c.Seed, rand.Uint32())
	t := tally{why: map[string]int{}}
	log, err = func() (log []string, err error) {
		defer func() {
			if p := recover(); p != nil {
				buf := make([]byte, 8<<10)
				err = found("rig", "%v\n%s", p, buf[:runtime.Stack(buf, false)])
			}
		}()
		return c.play(ctx, client, uri, h.hist, name, &t)
	}()
	h.add(t)
	alive, words := w.alive(ctx)
	if alive {
		_, _, now, getErr := w.get(ctx)
		return log, err, getErr == nil && now != deaths && err != nil && try < 3
	}
	if try == 0 {
		return log, err, true
	}
	if len(log) == 0 { // the change itself ends the server: that can't be judged
		return log, nil, false
	}
	return append(log, words...), found("died", "the server has died:\n%s", strings.Join(last(words, 12), "\n")), false
}

func last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

func (h *hunt) add(t tally) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tally.runs += t.runs
	h.tally.refused += t.refused
	h.tally.changed += t.changed
	h.tally.undone += t.undone
	h.tally.failures += t.failures
	h.tally.events += t.events
	for why, n := range t.why {
		h.tally.why[why] += n
	}
}
