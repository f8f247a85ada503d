package notify

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// end records a run that ended in a process that isn't here.
func (b *bundle) end(t *testing.T, st *store.Store, n store.NewRun, f store.Finish) string {
	t.Helper()
	n.ID, n.TTL, n.Database, n.Concurrency = store.NewID(), time.Minute, b.db.Name(), -1
	n.Owner = store.Owner{Host: "elsewhere", PID: 1, Instance: "x"}
	if _, err := st.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Finish(t.Context(), n.ID, 1, f); err != nil {
		t.Fatal(err)
	}
	return n.ID
}

func TestRetriesOfARunAreOneOccurrence(t *testing.T) {
	t.Parallel()
	b, r := setup(t), newReceiver(t)
	st := b.open(t)
	slot := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	bad := store.Finish{State: store.Failed, Error: &store.RunError{Kind: "error", Message: "no"}}
	first := b.end(t, st, store.NewRun{Script: "report", Schedule: "nightly", ScheduledAt: slot}, bad)
	second := b.end(t, st, store.NewRun{Script: "report", Trigger: "retry", Parent: first}, bad)
	b.end(t, st, store.NewRun{Script: "report", Trigger: "retry", Parent: second}, bad)
	b.end(t, st, store.NewRun{Script: "report", DryRun: true}, bad)
	b.end(t, st, store.NewRun{Script: "typed"}, store.Finish{State: store.Interrupted, Error: &store.RunError{Kind: "interrupted"}})
	b.end(t, st, store.NewRun{Script: "wrong"}, store.Finish{State: store.Cancelled})
	start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
	b.settled(t)
	if got := strings.Join(r.told(), ", "); got != "failure report" {
		t.Fatalf("told %s", got)
	}
	if m := r.got[0]; m.Schedule != "nightly" || !m.Slot.Equal(slot) || m.Run != first {
		t.Errorf("message %+v", m)
	}
}

// A script and two schedules of it that failed recover each by themselves, and each target hears of each once.
func TestOneRecoveryForEachThatFailed(t *testing.T) {
	t.Parallel()
	b, ops, team := setup(t), newReceiver(t), newReceiver(t)
	st := b.open(t)
	bad, good := store.Finish{State: store.Failed, Error: &store.RunError{Kind: "error", Message: "no"}}, store.Finish{State: store.Succeeded}
	slot := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	for i, end := range []store.Finish{bad, bad, good, good} {
		at := slot.Add(time.Duration(i) * time.Hour)
		for _, schedule := range []string{"", "nightly", "weekly"} {
			if schedule == "weekly" && i > 1 {
				continue // it fails still
			}
			b.end(t, st, store.NewRun{Script: "report", Schedule: schedule, ScheduledAt: at}, end)
		}
	}
	stop := start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: ops.URL}, {Name: "team", URL: team.URL}}})
	b.settled(t)
	stop()
	// The messages are pruned after a while, and the next success is no recovery either.
	if err := st.PruneNotifications(t.Context(), b.db.Name(), 0, 0, 100); err != nil {
		t.Fatal(err)
	}
	b.end(t, st, store.NewRun{Script: "report"}, good)
	start(t, b.newApp(t), Config{Targets: []Target{{Name: "ops", URL: ops.URL}, {Name: "team", URL: team.URL}}})
	b.settled(t)
	for name, r := range map[string]*receiver{"ops": ops, "team": team} {
		if got := strings.Join(r.told(), ", "); strings.Count(got, "failure") != 6 || strings.Count(got, "recovery") != 2 || len(r.told()) != 8 {
			t.Errorf("%s was told %s", name, got)
		}
	}
}

func TestOutbox(t *testing.T) {
	t.Parallel()

	t.Run("OutlivesAProcessThatDiesWhileItDelivers", func(t *testing.T) {
		t.Parallel()
		b, r := setup(t), newReceiver(t)
		st := b.open(t)
		b.end(t, st, store.NewRun{Script: "x"}, store.Finish{State: store.Failed})
		n, err := New(b.app, &Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		var pruned time.Time
		if err := n.round(t.Context(), st, time.Time{}, &pruned); err != nil {
			t.Fatal(err)
		}
		claimed, err := st.ClaimNotification(t.Context(), b.db.Name(), "ops", 50*time.Millisecond)
		if err != nil || claimed == nil {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
		if again, err := st.ClaimNotification(t.Context(), b.db.Name(), "ops", time.Minute); err != nil || again != nil {
			t.Fatalf("claimed twice: %v, %v", again, err)
		}
		start(t, b.app, Config{Targets: []Target{{Name: "ops", URL: r.URL}}})
		b.settled(t)
		// The one that was thought dead comes back, and changes nothing.
		claimed.State = store.NotificationFailed
		if err := st.SettleNotification(t.Context(), *claimed, 0); err != nil {
			t.Fatal(err)
		}
		list, err := n.Deliveries(t.Context(), 10)
		if err != nil || len(list) != 1 || list[0].State != "delivered" || list[0].Attempts != 2 || r.ids[list[0].ID] != 1 {
			t.Errorf("deliveries %+v, %v, received %v", list, err, r.ids)
		}
	})

	t.Run("IsBounded", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		st := b.open(t)
		for id, age := range map[string]time.Duration{"new": time.Minute, "undelivered": 25 * time.Hour, "old": 31 * 24 * time.Hour} {
			if err := st.Notify(t.Context(), store.Notification{ID: id, Database: b.db.Name(), Target: "gone", Kind: "failure", Body: "{}"}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.db.Collection("notifications").UpdateByID(t.Context(), id,
				bson.A{bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", age.Milliseconds()}}}}}}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.PruneNotifications(t.Context(), b.db.Name(), giveUp, keep, batchSize); err != nil {
			t.Fatal(err)
		}
		found, err := st.Notifications(t.Context(), b.db.Name(), 10)
		if err != nil || len(found) != 2 || found[0].State != "pending" || found[1].State != "failed" || found[1].Error == "" {
			t.Errorf("left %+v, %v", found, err)
		}
	})
}

func TestFormats(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got <- req.URL.Path + "?" + req.URL.RawQuery + " " + string(body)
	}))
	t.Cleanup(server.Close)
	fail := Message{V: 1, Event: Failure, Script: "a<b>", Text: "a<b> & c failed", Link: "https://x/r_1"}
	for want, target := range map[string]Target{
		`/ping/fail?x=1 `: {URL: server.URL + "/ping?x=1", Format: Ping, Scripts: []string{"a"}},
		`/s? {"text":"a\u0026lt;b\u0026gt; \u0026amp; c failed\nhttps://x/r_1"}`: {URL: server.URL + "/s", Format: Slack},
	} {
		target.Name, target.Timeout = "x", 5*time.Second
		client := newClient()
		if answer := target.send(context.Background(), client, "msg_1", fail); !answer.OK() {
			t.Errorf("answer %+v", answer)
		}
		client.CloseIdleConnections()
		if sent := <-got; sent != want {
			t.Errorf("sent %s, want %s", sent, want)
		}
	}
	ping := Target{Name: "p", URL: server.URL, Format: Ping, Schedules: []string{"nightly"}}
	if err := ping.prepare(); err != nil {
		t.Fatal(err)
	}
	wanted := func(m Message) bool { return ping.wants(m) }
	if !wanted(Message{Event: Success, Schedule: "nightly"}) || wanted(Message{Event: Success, Schedule: "other"}) || wanted(Message{Event: Failure, Schedule: "nightly"}) {
		t.Error("a ping is for the success of its schedule, and for nothing else")
	}
	if slices.Contains(Kinds(), Test) {
		t.Error("nobody subscribes to tests")
	}
}

func TestSecretsOfATargetAreHidden(t *testing.T) {
	t.Parallel()
	const token, secret = "T0KENT0KEN", "whsec_Z2VoZWltZ2VoZWlt"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "no such hook: "+req.URL.String())
	}))
	address := server.URL
	target := Target{Name: "x", URL: address + "/services/" + token + "?key=" + token, Secret: secret, Timeout: time.Second, Format: JSON}
	client := newClient()
	defer client.CloseIdleConnections()
	answers := []Answer{target.send(t.Context(), client, "msg_1", Message{})}
	server.Close()
	answers = append(answers, target.send(t.Context(), client, "msg_1", Message{})) // nobody listens any more
	for _, a := range answers {
		if a.OK() || strings.Contains(a.Body+a.Error, token) || strings.Contains(a.Body+a.Error, secret[6:]) {
			t.Errorf("answer %+v", a)
		}
	}
	if !answers[1].again || answers[0].again {
		t.Error("only what failed in the network is tried again")
	}
}
