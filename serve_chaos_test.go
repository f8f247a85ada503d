//go:build unix

package rikki_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
	"github.com/rikki-go/rikki/schedule"
)

// chaosFor is how long processes are killed and frozen; the variable RIKKI_CHAOS makes it longer.
const (
	chaosFor = 8 * time.Second
	chaosEnv = "RIKKI_CHAOS"
	childEnv = "RIKKI_SERVE_CHILD" // makes the test binary a process that serves the database it names

	chaosTTL   = 3 * time.Second
	chaosSteps = 8
)

func chaosApp(uri, database string) (*rikki.App, error) {
	cfg := &rikki.Config{HistoryDatabase: database + "_history", LeaseTTL: chaosTTL, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	cfg.Conn.URI, cfg.Conn.Database, cfg.Conn.PoolSize = uri, database, 8
	cfg.Conn.ConnectFor = time.Minute // a busy machine
	app := rikki.New(cfg)
	return app, app.Add(
		&tracked{name: "narrow", limit: 1, pause: 5 * time.Millisecond},
		&tracked{name: "pair", limit: 2, pause: 10 * time.Millisecond},
		&tracked{name: "wide", limit: -1, pause: 40 * time.Millisecond},
		&slotted{},
	)
}

// TestServeChild is the process that the test below starts, kills and freezes.
func TestServeChild(t *testing.T) { //nolint:paralleltest // it is a process of its own, or nothing
	database := os.Getenv(childEnv)
	if database == "" {
		t.Skip("this is the body of a child process")
	}
	app, err := chaosApp(rikkitest.URI(t), database)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	terminate := make(chan os.Signal, 3)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(terminate)
	listens := os.NewFile(3, "listens")
	if _, err := listens.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	_ = listens.Close()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-terminate
		cancel(rikki.ErrInterrupted)
	}()
	scheduler := schedule.New(app, &schedule.Options{Poll: 500 * time.Millisecond})
	var group sync.WaitGroup
	group.Go(func() {
		if err := scheduler.Run(ctx); err != nil {
			t.Error(err)
			terminate <- syscall.SIGTERM
		}
	})
	if err := app.Serve(ctx, &rikki.ServeOptions{
		Workers: 4, Poll: 500 * time.Millisecond, Grace: time.Second, Observers: []rikki.Observer{scheduler},
	}); err != nil && !errors.Is(err, rikki.ErrInterrupted) { // it was terminated before it had begun
		t.Error(err)
		terminate <- syscall.SIGTERM
	}
	<-stopped
	group.Wait()
	closeApp(t, app)
}

// fleet is a number of processes that serve one queue.
type fleet struct {
	t         *testing.T
	database  string
	processes []*child // those that are harmed next
	all       []*child
	faults    map[string]int
	count     int
}

// child is a process of the fleet.
type child struct {
	*exec.Cmd

	said    bytes.Buffer  // what its test prints
	retired bool          // it was asked to end, and shall do so by itself
	ended   chan struct{} // closed when it has
	listens bool          // it got so far that it heard signals; known when it has ended
}

func (f *fleet) start() *child {
	f.t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0], "-test.run=^TestServeChild$", "-test.count=1"), ended: make(chan struct{})}
	c.Env = append(os.Environ(), childEnv+"="+f.database, "RIKKI_TEST_URI="+rikkitest.URI(f.t))
	c.Stdout = &c.said
	if testing.Verbose() {
		c.Stderr = os.Stderr
	}
	heard, listens, err := os.Pipe()
	if err != nil {
		f.t.Fatal(err)
	}
	c.ExtraFiles = []*os.File{listens}
	err = c.Start()
	_ = listens.Close()
	if err != nil {
		_ = heard.Close()
		f.t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		n, _ := heard.Read(make([]byte, 1))
		c.listens = n == 1
		_ = heard.Close()
		_ = c.Wait()
	}()
	f.all = append(f.all, c)
	return c
}

// harm does something to one of the processes, and starts another in its place.
func (f *fleet) harm(rng *rand.Rand) {
	i := rng.IntN(len(f.processes))
	c := f.processes[i]
	fault := []string{"kill", "freeze", "kill", "terminate"}[f.count%4]
	f.count++
	f.faults[fault]++
	switch fault {
	case "freeze":
		f.signal(c, syscall.SIGSTOP)
		// Shorter and longer than a lease. Then it serves beside the one in its place, so that both meet; but not for ever, or the
		// fleet would grow with each fault and keep the server busy by itself.
		thaw := time.Duration(rng.Int64N(int64(2 * chaosTTL)))
		c.retired = true
		time.AfterFunc(thaw, func() { _ = c.Process.Signal(syscall.SIGCONT) })
		time.AfterFunc(thaw+chaosTTL, func() { _ = c.Process.Signal(syscall.SIGTERM) })
	case "kill":
		f.signal(c, syscall.SIGKILL)
	case "terminate":
		c.retired = true
		f.signal(c, syscall.SIGTERM)
	}
	f.processes[i] = f.start()
}

func (f *fleet) signal(c *child, sig os.Signal) {
	if err := c.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		f.t.Error(err)
	}
}

// retire waits for those that were told to end.
func (f *fleet) retire() {
	f.t.Helper()
	deadline := time.After(time.Minute)
	for _, c := range f.all {
		if !c.retired {
			continue
		}
		select {
		case <-c.ended:
			if c.listens && !c.ProcessState.Success() {
				f.t.Errorf("process %d was terminated and ended with %s: %s", c.Process.Pid, c.ProcessState, c.said.String())
			}
		case <-deadline:
			f.t.Errorf("process %d was terminated and doesn't end", c.Process.Pid)
			return
		}
	}
}

// end kills them all, whatever they are doing; frozen ones too.
func (f *fleet) end() {
	for _, c := range f.all {
		_ = c.Process.Kill()
		<-c.ended
	}
}

// No run that was queued is lost and none runs twice at once, whatever happens
// to the processes that serve the queue.
func TestServeSurvivesKilledAndFrozenProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts and kills processes for a while")
	}
	length := chaosFor
	if given := os.Getenv(chaosEnv); given != "" {
		var err error
		if length, err = time.ParseDuration(given); err != nil {
			t.Fatalf("%s: %v", chaosEnv, err)
		}
	}
	for _, n := range []int{2, 5} {
		t.Run(fmt.Sprintf("%dProcesses", n), func(t *testing.T) {
			t.Parallel()
			chaos(t, n, length)
		})
	}
}

// mix is how often each script is queued. Each fault that hits the only owner of a slot closes it for the rest of a lease: of
// narrow, 1.2 runs a second were seen to end under faults and 2.4 without, so that with a third of ten a second, two minutes of
// faults left 200 of them to wait for.
//
//nolint:gochecknoglobals // a table
var mix = []string{"narrow", "pair", "wide", "wide", "wide", "wide"}

func chaos(t *testing.T, n int, length time.Duration) {
	t.Helper()
	db := rikkitest.DB(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	app, err := chaosApp(rikkitest.URI(t), db.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeApp(t, app)
		if err := db.Client().Database(db.Name() + "_history").Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})

	slots := everySecond(t, app)
	f := &fleet{t: t, database: db.Name(), faults: map[string]int{}}
	t.Cleanup(f.end)
	for range n {
		f.processes = append(f.processes, f.start())
	}
	began := time.Now()
	var ids []string
	feed, harm, over := time.NewTicker(100*time.Millisecond), time.NewTicker(700*time.Millisecond), time.After(length)
	defer feed.Stop()
	defer harm.Stop()
	for going := true; going; {
		select {
		case <-feed.C:
			ids = append(ids, enqueue(t, app, mix[rng.IntN(len(mix))], &rikki.RunOptions{Priority: rng.IntN(2)}))
		case <-harm.C:
			f.harm(rng)
		case <-over:
			going = false
		}
	}
	settle(t, app, db.Client().Database(db.Name()+"_history"), began)
	f.retire()
	attempts := judge(t, app, db, ids)
	fired, skipped := slots.judge(t, app, db)
	t.Logf("%d runs, %d attempts, %d slots fired once, %d skipped, faults: %v", len(ids), attempts, fired, skipped, f.faults)
	if fired < int(length/time.Second)/2 {
		t.Errorf("only %d slots fired", fired)
	}
	if attempts <= len(ids) {
		t.Error("no run was taken over: the faults did not happen")
	}
}
