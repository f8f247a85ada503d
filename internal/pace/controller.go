package pace

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// recheck is how often a worker that waits looks at the clock: samples get old, overrides expire, and clocks are set.
const recheck = time.Second

// Config is what a controller is made of.
type Config struct {
	Settings Settings
	// Sensors are the signals to wait for from the beginning. A signal that is observed without being listed has a
	// sensor that pauses on unknown.
	Sensors []Sensor
	// Throttle is the script's own function. It says how long to wait and why; 0 is not at all. It is never called twice
	// at the same time, before each chunk and again after the wait. An error pauses the run for a second.
	Throttle func(ctx context.Context) (wait time.Duration, reason string, err error)
	// Now is the clock for windows, expiry and ages; nil is [time.Now].
	Now func() time.Time
}

// Controller decides how fast a run goes. Its methods may be called at the same time.
type Controller struct {
	now      func() time.Time
	throttle func(ctx context.Context) (time.Duration, string, error)
	asking   chan struct{} // held by who calls throttle

	mu        sync.Mutex
	wake      chan struct{} // closed when waiting may be over
	base      Settings
	overrides []Override
	sensors   []*sensor
	commits   commits
	size      *sizer
	link      link
	bucket    bucket
	gentle    gentle
	script    hold
	books     books
}

// hold is what the script's function said.
type hold struct {
	until  time.Time
	reason string
}

// New returns a controller.
func New(cfg Config) (*Controller, error) {
	if err := cfg.Settings.Validate(); err != nil {
		return nil, fmt.Errorf("pace: %w", err)
	}
	c := &Controller{
		now: cfg.Now, throttle: cfg.Throttle, asking: make(chan struct{}, 1), wake: make(chan struct{}),
		base: cfg.Settings.withDefaults(), size: newSizer(), commits: commits{cooldown: minCooldown},
		books: books{byReason: map[string]time.Duration{}, reasons: map[string]string{}},
	}
	if c.now == nil {
		c.now = time.Now
	}
	for _, s := range cfg.Sensors {
		c.sensors = append(c.sensors, &sensor{Sensor: s})
	}
	return c, nil
}

// SetSettings replaces the settings, from the next chunk on.
func (c *Controller) SetSettings(s Settings) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("pace: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = s.withDefaults()
	c.wakeAll()
	return nil
}

// SetOverrides replaces all overrides, from the next chunk on. Later ones win over earlier ones.
func (c *Controller) SetOverrides(overrides ...Override) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.base
	for _, o := range overrides {
		s = o.apply(s)
		if err := s.Validate(); err != nil {
			return fmt.Errorf("pace: %w", err)
		}
	}
	c.overrides = slices.Clone(overrides)
	c.wakeAll()
	return nil
}

// Settings are those in effect now.
func (c *Controller) Settings() Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings(c.now())
}

func (c *Controller) settings(now time.Time) Settings {
	c.overrides = slices.DeleteFunc(c.overrides, func(o Override) bool { return o.expired(now) })
	s := c.base
	for _, o := range c.overrides {
		s = o.apply(s)
	}
	return s.withDefaults()
}

// Observe takes a sample of a signal.
func (c *Controller) Observe(sig Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	s := c.settings(now)
	sig = sig.clean()
	if sig.Name == Commit {
		// It is measured by waiting for it: one that can't be read is a chunk that fails, which others see.
		if !sig.Unknown {
			c.commits.observe(time.Duration(sig.Value*float64(time.Second)), s, now)
		}
	} else {
		if sig.Name == Lag {
			sig.Limit = s.MaxLag.Seconds()
		}
		c.sensor(sig.Name).observe(sig, now)
	}
	c.wakeAll()
}

func (c *Controller) sensor(name string) *sensor {
	for _, s := range c.sensors {
		if s.Name == name {
			return s
		}
	}
	s := &sensor{Sensor: Sensor{Name: name}}
	c.sensors = append(c.sensors, s)
	return s
}

// Reason says why the run waits now, "" if it doesn't.
func (c *Controller) Reason() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	return c.waits(c.settings(now), now).reason
}

// waits is what the run waits for. A rate that nobody waits for is none, nor is making room for others.
func (c *Controller) waits(s Settings, now time.Time) block {
	b := c.blocked(s, now)
	if b.key == keyRate && c.books.waiting == 0 || b.key == keyGentle {
		return block{}
	}
	return b
}

func (c *Controller) wakeAll() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// Reasons to wait that people ask for.
const (
	KeyRate   = keyRate
	KeyWindow = keyWindow
)

// Keys of reasons that aren't signals.
const (
	keyWindow = "window"
	keyScript = "script"
	keyRate   = "rate"
	keyGentle = "gentle"
)

// block is what makes a worker wait; without a key, nothing does.
type block struct {
	key, reason string    // no reason is told where the run gets on nevertheless
	until       time.Time // zero: until something happens
}

// short says that the wait is of a kind that comes between any two chunks.
func (b block) short() bool { return b.key == keyRate || b.key == keyGentle }

// blocked finds what makes the next chunk wait.
func (c *Controller) blocked(s Settings, now time.Time) block {
	if !s.Window.Open(now) {
		opens := s.Window.Opens(now)
		return block{keyWindow, fmt.Sprintf("outside of the window %s, which opens in %s", s.Window, minutes(opens.Sub(now))), opens}
	}
	for _, sensor := range c.sensors {
		if sensor.Name == Lag && s.MaxLag == 0 {
			continue
		}
		if reason := sensor.reason(now); reason != "" {
			return block{key: sensor.Name, reason: reason}
		}
	}
	if reason, until := c.commits.reason(s, now); reason != "" {
		return block{Commit, reason, until}
	}
	if now.Before(c.script.until) {
		return block{keyScript, c.script.reason, c.script.until}
	}
	c.bucket.set(s.Rate, now)
	if wait := c.bucket.wait(now); wait > 0 {
		return block{keyRate, fmt.Sprintf("rate limit of %g documents/s", s.Rate), now.Add(wait)}
	}
	return c.gentle.blocked(s, now, c.link.room())
}

// minutes is a duration for people, to the minute: 16h59m, 3m, and below a minute the seconds.
func minutes(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
