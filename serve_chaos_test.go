//go:build unix

package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
)

// chaosFor is how long processes are killed and frozen; the variable RIKKI_CHAOS makes it longer.
const (
	chaosFor = 8 * time.Second
	chaosEnv = "RIKKI_CHAOS"
	childEnv = "RIKKI_SERVE_CHILD" // makes the test binary a process that serves the database it names

	chaosTTL   = 3 * time.Second
	chaosSteps = 8
)

// tracked is a script that writes down who works on which run, and when, on
// the server's clock.
type tracked struct {
	name  string
	limit int
	pause time.Duration
}

func (s *tracked) Options() rikki.Options {
	return rikki.Options{Name: s.name, Concurrency: s.limit, Resumable: true}
}

func (s *tracked) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	l := ledger{run.DB()}
	if err := l.enter(ctx, run.ID(), run.Attempt()); err != nil {
		return nil, err
	}
	next := 0
	if _, err := run.LoadCheckpoint(&next); err != nil {
		return nil, err
	}
	for ; next < chaosSteps; next++ {
		if err := l.step(ctx, run.ID(), run.Attempt()); err != nil {
			return nil, err
		}
		select {
		case <-time.After(s.pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if err := run.Checkpoint(ctx, next+1); err != nil {
			if errors.Is(err, rikki.ErrInterrupted) {
				err = errors.Join(err, l.leave(ctx, run.ID(), run.Attempt()))
			}
			return nil, err
		}
	}
	return nil, l.leave(ctx, run.ID(), run.Attempt())
}

// ledger is what the script writes down, and the judge of it.
type ledger struct{ db *mongo.Database }

// enter begins an attempt. No attempt begins twice, and none begins while the
// one before is at work: unless that one left, nothing was heard of it for longer
// than a living owner is ever silent.
func (l ledger) enter(ctx context.Context, run string, attempt int) error {
	_, err := l.db.Collection("attempts").InsertOne(ctx, bson.D{{Key: "_id", Value: fmt.Sprintf("%s/%d", run, attempt)}})
	if mongo.IsDuplicateKeyError(err) {
		return l.accuse(ctx, run, attempt, "began twice")
	}
	if err != nil {
		return err
	}
	busy := bson.D{
		{Key: "_id", Value: run},
		{Key: "left", Value: false},
		{Key: "$expr", Value: bson.D{{Key: "$gt", Value: bson.A{"$last", bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", (chaosTTL / 2).Milliseconds()}}}}}}},
	}
	switch err := l.db.Collection("work").FindOne(ctx, busy).Err(); {
	case errors.Is(err, mongo.ErrNoDocuments):
		return l.write(ctx, run, attempt, false, 0)
	case err != nil:
		return err
	default:
		return l.accuse(ctx, run, attempt, "began while another attempt was at work")
	}
}

func (l ledger) step(ctx context.Context, run string, attempt int) error {
	return l.write(ctx, run, attempt, false, 1)
}

func (l ledger) leave(ctx context.Context, run string, attempt int) error {
	return l.write(ctx, run, attempt, true, 0)
}

// errStale is what a process hears that was frozen while another took its run over.
var errStale = errors.New("another attempt has begun")

// write is fenced by the attempt, as an author would do it.
func (l ledger) write(ctx context.Context, run string, attempt int, left bool, steps int) error {
	filter := bson.D{{Key: "_id", Value: run}, {Key: "attempt", Value: bson.D{{Key: "$lte", Value: attempt}}}}
	update := bson.A{bson.D{{Key: "$set", Value: bson.D{
		{Key: "attempt", Value: attempt},
		{Key: "last", Value: "$$NOW"},
		{Key: "left", Value: left},
		{Key: "steps", Value: bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$steps", 0}}}, steps}}}},
	}}}}
	_, err := l.db.Collection("work").UpdateOne(ctx, filter, update, options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return errStale
	}
	return err
}

func (l ledger) accuse(ctx context.Context, run string, attempt int, what string) error {
	_, err := l.db.Collection("violations").InsertOne(ctx, bson.D{
		{Key: "run", Value: run}, {Key: "attempt", Value: attempt}, {Key: "what", Value: what}, {Key: "pid", Value: os.Getpid()},
	})
	return errors.Join(errors.New(what), err)
}

func chaosApp(uri, database string) (*rikki.App, error) {
	cfg := &rikki.Config{HistoryDatabase: database + "_history", LeaseTTL: chaosTTL, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	cfg.Conn.URI, cfg.Conn.Database, cfg.Conn.PoolSize = uri, database, 8
	app := rikki.New(cfg)
	return app, app.Add(
		&tracked{name: "narrow", limit: 1, pause: 5 * time.Millisecond},
		&tracked{name: "wide", limit: -1, pause: 150 * time.Millisecond},
		&tracked{name: "pair", limit: 2, pause: 50 * time.Millisecond},
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
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(terminate)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-terminate
		cancel(rikki.ErrInterrupted)
	}()
	if err := app.Serve(ctx, &rikki.ServeOptions{Workers: 4, Poll: 500 * time.Millisecond, Grace: time.Second}); err != nil {
		t.Error(err)
		terminate <- syscall.SIGTERM
	}
	<-stopped
	closeApp(t, app)
}

// fleet is a number of processes that serve one queue.
type fleet struct {
	t         *testing.T
	database  string
	processes []*exec.Cmd
	faults    map[string]int
	count     int
}

func (f *fleet) start() *exec.Cmd {
	f.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), childEnv+"="+f.database, "RIKKI_TEST_URI="+rikkitest.URI(f.t))
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	return cmd
}

// harm does something to one of the processes.
func (f *fleet) harm(rng *rand.Rand) {
	i := rng.IntN(len(f.processes))
	cmd := f.processes[i]
	fault := []string{"kill", "freeze", "kill", "terminate"}[f.count%4]
	f.count++
	f.faults[fault]++
	switch fault {
	case "freeze":
		f.signal(cmd, syscall.SIGSTOP)
		thaw := time.Duration(rng.Int64N(int64(2 * chaosTTL))) // shorter and longer than a lease
		f.processes[i] = f.start()
		time.AfterFunc(thaw, func() { _ = cmd.Process.Signal(syscall.SIGCONT) })
		f.t.Cleanup(func() { f.end(cmd) })
	case "kill":
		f.signal(cmd, syscall.SIGKILL)
		_ = cmd.Wait()
		f.processes[i] = f.start()
	case "terminate":
		f.signal(cmd, syscall.SIGTERM)
		f.t.Cleanup(func() { f.end(cmd) })
		f.processes[i] = f.start()
	}
}

func (f *fleet) signal(cmd *exec.Cmd, sig os.Signal) {
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		f.t.Error(err)
	}
}

// end kills a process whatever it is doing; frozen ones too.
func (f *fleet) end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
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

	f := &fleet{t: t, database: db.Name(), faults: map[string]int{}}
	for range n {
		f.processes = append(f.processes, f.start())
	}
	t.Cleanup(func() {
		for _, cmd := range f.processes {
			f.end(cmd)
		}
	})
	var ids []string
	feed, harm, over := time.NewTicker(100*time.Millisecond), time.NewTicker(700*time.Millisecond), time.After(length)
	defer feed.Stop()
	defer harm.Stop()
	for going := true; going; {
		select {
		case <-feed.C:
			ids = append(ids, enqueue(t, app, []string{"narrow", "wide", "pair"}[rng.IntN(3)], &rikki.RunOptions{Priority: rng.IntN(2)}))
		case <-harm.C:
			f.harm(rng)
		case <-over:
			going = false
		}
	}
	attempts := settle(t, app, ids)
	judge(t, db, ids)
	t.Logf("%d runs, %d attempts, faults: %v", len(ids), attempts, f.faults)
	if attempts <= len(ids) {
		t.Error("no run was taken over: the faults did not happen")
	}
}

// settle waits until every run has succeeded.
func settle(t *testing.T, app *rikki.App, ids []string) (attempts int) {
	t.Helper()
	for _, id := range ids {
		attempts += await(t, app, id, inState(rikki.Succeeded)).Attempt
	}
	return attempts
}

func judge(t *testing.T, db *mongo.Database, ids []string) {
	t.Helper()
	cur, err := db.Collection("violations").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var found []bson.M
	if err := cur.All(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Errorf("violation: %v", v)
	}
	done, err := db.Collection("work").CountDocuments(t.Context(), bson.D{{Key: "left", Value: true}, {Key: "steps", Value: bson.D{{Key: "$gte", Value: chaosSteps}}}})
	if err != nil || int(done) != len(ids) {
		t.Errorf("%d of %d runs did all their steps, %v", done, len(ids), err)
	}
}

// Negative control: the judge finds what the test above looks for.
func TestTheLedgerFindsRunsThatRunTwice(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	l := ledger{db}
	ctx := t.Context()
	if err := errors.Join(l.enter(ctx, "a", 1), l.step(ctx, "a", 1), l.enter(ctx, "b", 1), l.leave(ctx, "b", 1), l.enter(ctx, "b", 2)); err != nil {
		t.Fatal(err)
	}
	if l.enter(ctx, "a", 1) == nil || l.enter(ctx, "a", 2) == nil {
		t.Error("an attempt began twice, and another beside it, and nobody noticed")
	}
	if n, err := db.Collection("violations").CountDocuments(ctx, bson.D{}); n != 2 || err != nil {
		t.Errorf("%d violations, %v, want 2", n, err)
	}
	if err := l.step(ctx, "b", 1); !errors.Is(err, errStale) {
		t.Errorf("a stale step: %v", err)
	}
}
