package notify

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// worker is a process that does nothing but notify, until it is killed.
func worker(uri, database, target string) {
	cfg := rikki.Config{HistoryDatabase: database}
	cfg.Conn.URI, cfg.Conn.Database = uri, database
	c := Config{Poll: 20 * time.Millisecond, initial: 20 * time.Millisecond, most: 50 * time.Millisecond, Targets: []Target{{Name: "ops", URL: target, Timeout: time.Second}}}
	n, err := New(rikki.New(&cfg), &c)
	if err == nil {
		err = n.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKills kills notifiers again and again while runs fail. Every failure is told, and has one id.
func TestKills(t *testing.T) {
	t.Parallel()
	const processes, kills, runs = 3, 2, 20
	b, r := setup(t), newReceiver(t)
	// The answer takes a moment, so that a kill hits deliveries under way.
	r.answer = func(_ int, _ http.ResponseWriter) { <-time.After(20 * time.Millisecond) }
	st := b.open(t)

	begin := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "NOTIFY_WORKER="+b.cfg.Conn.URI, "NOTIFY_DATABASE="+b.db.Name(), "NOTIFY_TARGET="+r.URL)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	end := func(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	var group [processes]*exec.Cmd
	for i := range group {
		group[i] = begin()
	}
	defer func() {
		for _, cmd := range group {
			end(cmd)
		}
	}()
	for i := range runs {
		b.end(t, st, store.NewRun{Script: "x"}, store.Finish{State: store.Failed})
		if i%(runs/kills) == runs/kills-1 {
			before := r.count()
			eventually(t, "another message", func() bool { return r.count() > before })
			victim := i / (runs / kills) % processes
			end(group[victim])
			group[victim] = begin()
		}
	}
	eventually(t, "every failure is told", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.ids) >= runs
	})
	for _, m := range r.got {
		if m.Event != Failure {
			t.Errorf("told %+v", m)
		}
	}
	if len(r.ids) != runs {
		t.Errorf("%d different messages of %d failures", len(r.ids), runs)
	}
	t.Logf("%d failures, %d kills, %d requests", runs, kills, r.count())
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}
