package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/pace"
)

// pacer decides how fast a run goes: package pace does, from what the pacer hears of the server and of people.
type pacer struct {
	e          *engine
	signals    *signals
	controller *pace.Controller
	wake       chan struct{} // a worker has ended, or the number of workers may have changed
	began      time.Time
	had        int // workers, at the last look
	waits      waitLog
	verifying  bool // the documents are done, and looked at again
}

// lookEvery is how often the server's signals are read, and what people want of the run.
const lookEvery = time.Second

func newPacer(e *engine, signals *signals) (*pacer, error) {
	window, err := windowOf(e.knobs.Window)
	if err != nil {
		return nil, err
	}
	cfg := pace.Config{
		Settings: pace.Settings{
			Chunk: e.opts.Chunk, Workers: e.opts.Workers, MostWorkers: e.opts.mostWorkers, Rate: e.opts.Rate, MaxLag: max(e.opts.MaxLag, 0), Target: e.opts.Target, Bytes: chunkBytes,
			Gentle: pace.Gentle(e.opts.Gentle), Window: window,
		},
		Sensors: []pace.Sensor{{Name: pace.FlowControl, OnUnknown: pace.IgnoreUnknown}},
	}
	switch {
	case e.alone:
	case e.opts.Unreadable == UnreadableIgnore:
		cfg.Sensors = append(cfg.Sensors, pace.Sensor{Name: pace.Lag, OnUnknown: pace.IgnoreUnknown})
	default: // before the first look, nobody knows
		cfg.Sensors = append(cfg.Sensors, pace.Sensor{Name: pace.Lag})
	}
	if e.throttle != nil {
		cfg.Throttle = e.throttled
	}
	c, err := pace.New(cfg)
	if err != nil {
		return nil, err
	}
	return &pacer{e: e, signals: signals, controller: c, wake: make(chan struct{}, 1), began: time.Now()}, nil
}

// supervise starts workers while there shall be more of them, and returns when the last one has ended.
func (p *pacer) supervise(start func(wanted int) bool) {
	for start(p.workers()) {
		<-p.wake
	}
}

func (p *pacer) workers() int { return p.controller.Workers() }

func (p *pacer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// watch keeps the controller informed, until ctx ends, and stops the workers when the run shall stop.
func (p *pacer) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery / 5) // for the second look; what others do takes two
	defer ticker.Stop()
	asked := time.NewTicker(lookEvery / 5)
	defer asked.Stop()
	defer func() { p.e.endWait(&p.waits, time.Now()) }()
	for {
		p.tune()
		p.signals.sample(ctx, p.controller)
		if ctx.Err() != nil {
			return // what was cut off says nothing about the server
		}
		p.tell()
		for waited := false; !waited; {
			select {
			case <-ticker.C:
				waited = true
				ticker.Reset(lookEvery)
			case <-asked.C:
			case <-p.e.run.Stopping():
				p.e.fail(p.e.asked())
				return
			case <-ctx.Done():
				return
			}
			p.heed()
		}
	}
}

// heed stops the workers when somebody has asked for it, or the time is up.
func (p *pacer) heed() {
	if err := p.e.run.Asked(); err != nil {
		p.e.fail(err)
	}
	// The verification would begin at its beginning again, and with little time never come to its end.
	if limit := p.e.knobs.MaxRuntime; limit > 0 && !p.verifying && time.Since(p.began) >= limit {
		p.e.fail(fmt.Errorf("%w by itself: it has worked for %s, as long as it may (--max-runtime)", rikki.ErrPaused, limit))
	}
}

// tune applies what somebody outside wants.
func (p *pacer) tune() {
	t := p.e.run.Tuning()
	var o pace.Override
	if t.Chunk != 0 {
		o.Chunk = &t.Chunk
	}
	if t.Workers != 0 {
		o.Workers = new(min(t.Workers, pace.MaxWorkers))
	}
	if t.Rate != 0 {
		o.Rate = new(max(t.Rate, 0))
	}
	if t.MaxLag != 0 {
		o.MaxLag = new(max(t.MaxLag, 0))
	}
	if t.Gentle != "" {
		o.Gentle = new(pace.Gentle(t.Gentle))
	}
	if err := p.controller.SetOverrides(o); err != nil {
		p.e.log.Warn("the tuning has no effect", "error", err)
	}
	if n := p.workers(); n != p.had {
		p.had = n
		p.poke()
	}
}

// tell says how it goes: why the run waits, or how it works.
func (p *pacer) tell() {
	s := p.controller.Stats()
	p.e.noteWait(&p.waits, s, time.Now())
	text := fmt.Sprintf("%d workers, chunks of %d", s.Workers, s.Chunk)
	switch {
	case s.Gentle != "":
		text = fmt.Sprintf("gently, one chunk of %d at a time", s.Chunk)
	case p.verifying:
		text = fmt.Sprintf("chunks of %d", s.Chunk)
	case s.Workers == 1:
		text = fmt.Sprintf("1 worker, chunks of %d", s.Chunk)
	}
	if s.P95 > 0 {
		text += fmt.Sprintf(", p95 %s", s.P95.Round(time.Millisecond))
	}
	if s.Gentle != "" {
		text += "; " + s.Gentle
	}
	if s.Reason != "" {
		text = "waiting: " + s.Reason
	}
	if trouble := p.e.troubled(); trouble != "" {
		text += "; " + trouble
	}
	if p.verifying {
		text = "verifying; " + text
	}
	p.e.run.Progress().SetMessage(text)
}

// outcome is what the chunk was like, for its pace.
func (c *chunk) outcome(took time.Duration) pace.Outcome {
	trips, least := c.trips.Counted()
	return pace.Outcome{Docs: int(c.counts.Matched), Took: took, Commit: c.commit, Trips: trips, Trip: least}
}

// windowOf reads "22:00-05:00" or "22:00-05:00 Europe/Berlin".
func windowOf(text string) (pace.Window, error) {
	if text == "" {
		return pace.Window{}, nil
	}
	times, zone := text, time.UTC
	if len(text) > len("22:00-05:00") {
		var err error
		times = text[:len("22:00-05:00")]
		if zone, err = time.LoadLocation(text[len(times)+1:]); err != nil {
			return pace.Window{}, fmt.Errorf("%w; name a zone as in Europe/Berlin", err)
		}
	}
	window, err := pace.ParseWindow(times, zone)
	if err != nil {
		return pace.Window{}, err
	}
	return window, nil
}
