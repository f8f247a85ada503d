package notify

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rikki-go/rikki/internal/redact"
)

// Kind is what a message tells.
type Kind string

// The kinds of messages.
const (
	Failure  Kind = "failure"  // a run failed, ended with errors, or died; once for all retries of it
	Recovery Kind = "recovery" // the first success of the script, or the schedule, after a failure
	Success  Kind = "success"  // any success; only where it is asked for
	Late     Kind = "late"     // a run hasn't begun [Config.LateAfter] after it was due
	Stuck    Kind = "stuck"    // a script didn't stop when cancelled, or made no progress for [Config.StuckAfter]
	Paused   Kind = "paused"   // a schedule paused itself
	Test     Kind = "test"     // somebody tried the target
)

// Kinds returns every kind that a target can ask for.
func Kinds() []Kind { return []Kind{Failure, Recovery, Success, Late, Stuck, Paused} }

// Format is what a target understands.
type Format string

// The formats.
const (
	JSON  Format = "json"  // [Message], signed
	Slack Format = "slack" // {"text": …}
	Ping  Format = "ping"  // a POST of nothing to the URL for success, to URL/fail for failure
)

// Target is where messages go.
type Target struct {
	// Name identifies the target in the outbox and in lists.
	Name string
	// URL may hold a token: it is never stored, logged or shown.
	URL string
	// Secret signs messages in JSON: whsec_ and base64, or any text.
	Secret string
	// Format is [JSON] unless told otherwise.
	Format Format
	// Events are the kinds to send: all but [Success] by default, [Success] alone for [Ping].
	Events []Kind
	// Scripts and Schedules are those to tell of; empty means all. A ping needs one of them.
	Scripts   []string
	Schedules []string
	// Timeout bounds one attempt. Default 10 s.
	Timeout time.Duration
}

// Config configures a [Notifier].
type Config struct {
	Targets []Target
	// LateAfter and StuckAfter are the allowances of [Late] and [Stuck]. Zero means never; a script that doesn't stop
	// when cancelled is always stuck.
	LateAfter  time.Duration
	StuckAfter time.Duration
	// Link is added to messages, with {run} replaced by the run's ID.
	Link string
	// Poll is how often to look for news. Default 1 s.
	Poll time.Duration

	initial, most time.Duration // of the back-off, for tests
}

const (
	defaultTimeout = 10 * time.Second
	defaultPoll    = time.Second
)

// prepare completes the configuration, and finds every mistake.
func (c Config) prepare() (Config, error) {
	c.Poll = cmp.Or(c.Poll, defaultPoll)
	c.initial, c.most = cmp.Or(c.initial, time.Second), cmp.Or(c.most, 15*time.Minute)
	c.Targets = slices.Clone(c.Targets)
	var errs []error
	seen := map[string]bool{}
	for i := range c.Targets {
		t := &c.Targets[i]
		if seen[t.Name] || t.Name == "" {
			errs = append(errs, fmt.Errorf("target %d needs a name of its own, not %q", i+1, t.Name))
		}
		seen[t.Name] = true
		if err := t.prepare(); err != nil {
			errs = append(errs, fmt.Errorf("target %s: %w", t.Name, err))
		}
	}
	if c.LateAfter < 0 || c.StuckAfter < 0 || c.Poll < 0 {
		errs = append(errs, errors.New("durations can't be negative"))
	}
	return c, errors.Join(errs...)
}

func (t *Target) prepare() error {
	t.Format, t.Timeout = cmp.Or(t.Format, JSON), cmp.Or(t.Timeout, defaultTimeout)
	u, err := parse(t.URL)
	switch {
	case t.URL == "":
		return errors.New("it has no URL")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("its URL isn't one of http:// or https://")
	case !slices.Contains([]Format{JSON, Slack, Ping}, t.Format):
		return fmt.Errorf("unknown format %q: json, slack or ping", t.Format)
	case t.Format == Ping && len(t.Scripts)+len(t.Schedules) == 0:
		return errors.New("a ping is for one schedule or script: name it")
	case t.Timeout < 0:
		return errors.New("its timeout is negative")
	}
	if t.Events == nil {
		t.Events = []Kind{Success}
		if t.Format != Ping {
			t.Events = []Kind{Failure, Recovery, Late, Stuck, Paused}
		}
	}
	for _, k := range t.Events {
		if !slices.Contains(Kinds(), k) || t.Format == Ping && k != Success && k != Failure {
			return fmt.Errorf("no such event for it: %q", k)
		}
	}
	return nil
}

// parse reads a target's URL. Its error, which may show the URL, goes nowhere.
func parse(s string) (*url.URL, error) {
	r, err := http.NewRequest(http.MethodPost, s, nil) //nolint:noctx // it is never sent
	if err != nil {
		return nil, errors.New("it can't be read")
	}
	return r.URL, nil
}

// host is what of the URL may be shown.
func (t Target) host() string {
	u, err := parse(t.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// redactor hides what must not be shown of the target.
func (t Target) redactor() *redact.Redactor {
	r := redact.New(t.Secret, strings.TrimPrefix(t.Secret, secretPrefix), t.URL)
	if u, err := parse(t.URL); err == nil {
		secrets := append(strings.Split(u.Path, "/"), u.RequestURI(), u.RawQuery, u.Fragment)
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, password)
		}
		for _, values := range u.Query() {
			secrets = append(secrets, values...)
		}
		for _, secret := range secrets {
			if len(secret) >= 6 {
				r.Add(secret)
			}
		}
	}
	return r
}

// wants tells whether a message is for the target.
func (t Target) wants(m Message) bool {
	if !slices.Contains(t.Events, m.Event) {
		return false
	}
	if len(t.Scripts)+len(t.Schedules) == 0 {
		return true
	}
	return slices.Contains(t.Scripts, m.Script) || m.Schedule != "" && slices.Contains(t.Schedules, m.Schedule)
}
