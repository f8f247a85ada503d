package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/internal/store"
)

// receiver remembers what it got, by webhook-id.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []Message
	ids    map[string]int
	answer func(n int, w http.ResponseWriter) // of the n-th request, from 1
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{ids: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var m Message
		_ = json.Unmarshal(body, &m)
		r.mu.Lock()
		r.got = append(r.got, m)
		r.ids[req.Header.Get("Webhook-Id")]++
		n := len(r.got)
		r.mu.Unlock()
		if r.answer != nil {
			r.answer(n, w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// told lists the events that came, as "failure failing".
func (r *receiver) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, m := range r.got {
		told = append(told, string(m.Event)+" "+m.Script)
	}
	return told
}

type bundle struct {
	db  *mongo.Database
	cfg rikki.Config
	app *rikki.App
	bad bool // the script fails
	mu  sync.Mutex
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: mongotest.DB(t)}
	b.cfg = rikki.Config{HistoryDatabase: b.db.Name()}
	b.cfg.Conn.URI, b.cfg.Conn.Database = mongotest.URI(t), b.db.Name()
	b.app = b.newApp(t)
	return b
}

func (b *bundle) newApp(t *testing.T) *rikki.App {
	t.Helper()
	cfg := b.cfg
	app := rikki.New(&cfg).MustAdd(rikki.Func("moody", func(context.Context, *rikki.Run) (any, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.bad {
			return nil, errors.New("cannot copy to mongodb://bob:geheim@db1/x")
		}
		return nil, nil
	}))
	t.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return app
}

func (b *bundle) run(t *testing.T, bad bool) {
	t.Helper()
	b.mu.Lock()
	b.bad = bad
	b.mu.Unlock()
	_, err := b.app.Run(t.Context(), "moody", nil)
	if bad != (err != nil) {
		t.Fatalf("the run ended with %v", err)
	}
}

// start runs a notifier, and returns when it has looked for what happened before.
func start(t *testing.T, app *rikki.App, cfg Config) (stop func()) {
	t.Helper()
	cfg.Poll, cfg.initial, cfg.most = 20*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond
	n, err := New(app, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("notifier:", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (b *bundle) open(t *testing.T) *store.Store {
	t.Helper()
	st := store.New(b.db)
	if _, err := st.OpenNotifications(t.Context(), b.db.Name()); err != nil {
		t.Fatal(err)
	}
	return st
}

// eventually polls.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// settled waits until no news and no message is left.
func (b *bundle) settled(t *testing.T) {
	t.Helper()
	st := store.New(b.db)
	since, err := st.OpenNotifications(t.Context(), b.db.Name())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything is told and delivered", func() bool {
		news, err := st.News(t.Context(), b.db.Name(), since, 10)
		open, err2 := b.db.Collection("notifications").CountDocuments(t.Context(), bson.D{{Key: "state", Value: "pending"}})
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		return len(news) == 0 && open == 0
	})
}

func TestOncePerOccurrence(t *testing.T) {
	t.Parallel()

	t.Run("FailuresAndOneRecovery", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		b.run(t, true) // before anybody wanted to know
		b.open(t)
		for range 3 {
			start(t, b.newApp(t), Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		}
		b.run(t, false)
		b.run(t, true)
		b.run(t, true)
		b.run(t, false)
		b.run(t, false)
		b.settled(t)
		if got := strings.Join(r.told(), ", "); strings.Count(got, "failure") != 2 || strings.Count(got, "recovery") != 1 || len(r.told()) != 3 {
			t.Errorf("told %s", got)
		}
		for id, n := range r.ids {
			if n != 1 {
				t.Errorf("%s came %d times", id, n)
			}
		}
		for _, m := range r.got {
			if m.V != 1 || m.Run == "" || strings.Contains(m.Error+m.Text, "geheim") || m.Event == Failure && !strings.Contains(m.Error, "cannot copy") {
				t.Errorf("message %+v", m)
			}
		}
	})

	t.Run("ForADeadProcess", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		st := b.open(t)
		_, err := st.Start(t.Context(), store.NewRun{
			ID: store.NewID(), Script: "doomed", TTL: time.Millisecond, Database: b.db.Name(), Owner: store.Owner{Host: "h", PID: 1, Instance: "x"},
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		eventually(t, "the death is told", func() bool { return len(r.told()) > 0 })
		if got := strings.Join(r.told(), ", "); got != "failure doomed" {
			t.Errorf("told %s", got)
		}
	})

	t.Run("WhenANotifierDiesBetweenTwoWrites", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		st := b.open(t)
		b.run(t, true)
		// It told, and died before it took the news away.
		dead, err := New(b.app, &Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		runs, err := st.News(t.Context(), b.db.Name(), time.Time{}, 10)
		if err != nil || len(runs) != 1 {
			t.Fatalf("news %v, %v", runs, err)
		}
		if err := dead.tell(t.Context(), st, runs[0]); err != nil {
			t.Fatal(err)
		}
		start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		b.settled(t)
		if got := strings.Join(r.told(), ", "); got != "failure moody" {
			t.Errorf("told %s", got)
		}
	})

	t.Run("StuckAndLate", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		st := b.open(t)
		if _, err := st.Start(t.Context(), store.NewRun{
			ID: store.NewID(), Script: "still", TTL: time.Minute, Database: b.db.Name(), Owner: store.Owner{Host: "h", PID: 1, Instance: "x"},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.app.Enqueue(t.Context(), "moody", nil); err != nil {
			t.Fatal(err)
		}
		start(t, b.app, Config{LateAfter: time.Millisecond, StuckAfter: time.Millisecond, Targets: []Target{{Name: "ops", URL: r.URL}}})
		eventually(t, "both are told", func() bool { return len(r.told()) >= 2 })
		b.settled(t)
		if got := strings.Join(r.told(), ", "); len(r.told()) != 2 || !strings.Contains(got, "stuck still") || !strings.Contains(got, "late moody") {
			t.Errorf("told %s", got)
		}
	})

	t.Run("AScheduleThatPausesItselfAndOneThatNobodyFires", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		st := b.open(t)
		now, err := st.ServerTime(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, kind := range map[string]string{"broken": "failures", "resting": "user"} {
			if _, err := st.PutSchedule(t.Context(), store.Schedule{
				ID: store.ScheduleID(b.db.Name(), name), Database: b.db.Name(), Name: name, Script: "moody", State: store.SchedulePaused,
				Note: &store.ScheduleNote{Kind: kind, Text: "3 failures in a row", At: now.Add(time.Second)},
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := st.PutSchedule(t.Context(), store.Schedule{
			ID: store.ScheduleID(b.db.Name(), "missed"), Database: b.db.Name(), Name: "missed", Script: "moody", State: store.ScheduleActive,
			NextAt: now.Add(10 * time.Millisecond), NextSlot: now.Add(10 * time.Millisecond),
		}); err != nil {
			t.Fatal(err)
		}
		start(t, b.app, Config{LateAfter: time.Millisecond, Targets: []Target{{Name: "ops", URL: r.URL}}})
		eventually(t, "both are told", func() bool { return len(r.told()) >= 2 })
		b.settled(t)
		for _, m := range r.got {
			if m.Event == Paused && m.Schedule != "broken" || m.Event == Late && m.Schedule != "missed" {
				t.Errorf("told %+v", m)
			}
		}
		if len(r.told()) != 2 {
			t.Errorf("told %v", r.told())
		}
	})
}

func TestDelivery(t *testing.T) {
	t.Parallel()

	t.Run("IsTriedAgainWithTheSameID", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		var first, second time.Time
		r.answer = func(n int, w http.ResponseWriter) {
			switch n {
			case 1:
				first = time.Now()
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
			case 2:
				second = time.Now()
				w.WriteHeader(http.StatusBadGateway)
			}
		}
		b.open(t)
		start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		b.run(t, true)
		eventually(t, "three requests", func() bool { return len(r.told()) == 3 })
		b.settled(t)
		if len(r.ids) != 1 || second.Sub(first) < 900*time.Millisecond {
			t.Errorf("ids %v, %s between the first two", r.ids, second.Sub(first))
		}
	})

	t.Run("EndsAtARefusal", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		r.answer = func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }
		b.open(t)
		start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: r.URL + "/services/T0KENT0KEN"}}})
		b.run(t, true)
		eventually(t, "a request", func() bool { return len(r.told()) == 1 })
		b.settled(t)
		n, err := New(b.app, &Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		list, err := n.Deliveries(t.Context(), 10)
		if err != nil || len(list) != 1 || list[0].State != "failed" || list[0].Status != 403 || list[0].Attempts != 1 {
			t.Errorf("deliveries %+v, %v", list, err)
		}
		var raw bson.M
		if err := b.db.Collection("notifications").FindOne(t.Context(), bson.D{}).Decode(&raw); err != nil {
			t.Fatal(err)
		}
		if data, _ := json.Marshal(raw); strings.Contains(string(data), "T0KEN") {
			t.Errorf("the token is stored: %s", data)
		}
	})

	t.Run("ASlowTargetHoldsUpNobody", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		release := make(chan struct{})
		slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		t.Cleanup(slow.Close)
		t.Cleanup(func() { close(release) })
		b.open(t)
		start(t, b.app, Config{Targets: []Target{{Name: "slow", URL: slow.URL}, {Name: "ops", URL: r.URL}}})
		b.run(t, true)
		b.run(t, true)
		eventually(t, "the others are told", func() bool { return len(r.told()) == 2 })
	})

	t.Run("GoesToNoOtherHost", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t)
		away := httptest.NewServer(http.RedirectHandler(r.URL, http.StatusTemporaryRedirect))
		t.Cleanup(away.Close)
		n, err := New(setup(t).app, &Config{Targets: []Target{{Name: "x", URL: away.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		answers, err := n.Test(t.Context(), "x")
		if err != nil || answers[0].OK() || len(r.told()) != 0 {
			t.Errorf("answers %+v, %v, told %v", answers, err, r.told())
		}
	})
}

func TestRetrySchedule(t *testing.T) {
	t.Parallel()
	c := Config{initial: time.Second, most: time.Minute}
	for attempts, most := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 10: 2 * time.Minute} {
		var longest time.Duration
		for range 200 {
			longest = max(longest, c.pause(attempts))
		}
		if longest > most || longest < most/2 {
			t.Errorf("after %d attempts it waits up to %s, want at most %s", attempts, longest, most)
		}
	}
	now := time.Now()
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "soon": 0, "-3": 0, "999999": maxRetryAfter,
		now.Add(time.Minute).UTC().Format(http.TimeFormat): time.Minute,
	} {
		if got := retryAfter(header, now); got > want || got < want-time.Second {
			t.Errorf("Retry-After %q means %s, want %s", header, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for what, target := range map[string]Target{
		"no URL": {Name: "a"}, "file": {Name: "a", URL: "file:///etc/passwd"}, "format": {Name: "a", URL: "http://x", Format: "xml"},
		"ping for all": {Name: "a", URL: "http://x", Format: Ping}, "event": {Name: "a", URL: "http://x", Events: []Kind{"boom"}},
		"no name": {URL: "http://x"}, "broken": {Name: "a", URL: "http://bob:geheim@x:%zz/"},
	} {
		_, err := New(rikki.New(nil), &Config{Targets: []Target{target}})
		if err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
