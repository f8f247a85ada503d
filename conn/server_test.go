package conn_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/locked"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// commands collects what was sent.
type commands struct {
	mu   sync.Mutex
	sent []bson.Raw
}

func (c *commands) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent = append(c.sent, append(bson.Raw{}, e.Command...))
	}}
}

func (c *commands) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, raw := range c.sent {
		elements, _ := raw.Elements()
		names = append(names, elements[0].Key())
	}
	return names
}

func (c *commands) find(name string) bson.Raw {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, raw := range c.sent {
		if elements, _ := raw.Elements(); elements[0].Key() == name {
			return raw
		}
	}
	return nil
}

func TestAcquireSendsOnePing(t *testing.T) {
	t.Parallel()
	var c commands
	s := source(t, conn.Config{URI: uri(t, "db"), Monitor: c.monitor()})
	ref := acquire(t, s)
	if diff := cmp.Diff([]string{"ping"}, c.names()); diff != "" {
		t.Error(diff)
	}
	if p := s.Status().Pool; p.Open != 1 || p.InUse != 0 || p.Max != conn.DefaultPoolSize || p.Created != 1 {
		t.Errorf("pool %+v, want the one connection that the ping opened", p)
	}
	again := acquire(t, s)
	if diff := cmp.Diff([]string{"ping"}, c.names()); diff != "" {
		t.Errorf("a second reference asked the server: %s", diff)
	}
	release(t, again)
	release(t, ref)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	db := mongotest.Name(t)
	s := source(t, conn.Config{URI: uri(t, db)})
	if st := s.Status(); st.State != conn.Closed || st.References != 0 || st.Database != db {
		t.Errorf("before: %+v", st)
	}
	ref := acquire(t, s)
	h, err := s.Check(t.Context())
	if err != nil || !h.OK || h.Latency <= 0 || h.State != conn.Connected || !h.Transactions || h.At.IsZero() {
		t.Errorf("health %+v, %v", h, err)
	}
	if !strings.Contains(h.ServerVersion, ".") || h.Primary == "" {
		t.Errorf("health %+v names no version or primary", h)
	}
	st := s.Status()
	if st.State != conn.Connected || st.References != 1 || len(st.Hosts) != 1 || st.Primary != st.Hosts[0] ||
		st.ReplicaSet == "" || st.Standalone || !st.Transactions || st.ServerVersion != h.ServerVersion ||
		st.Topology != "ReplicaSetWithPrimary" || st.LastError != "" || st.Since.IsZero() || len(st.Warnings) != 0 {
		t.Errorf("connected: %+v", st)
	}
	if ref.DB().Name() != db || ref.Transactions() != nil {
		t.Errorf("database %s, transactions: %v", ref.DB().Name(), ref.Transactions())
	}
	release(t, ref)
	if st := s.Status(); st.State != conn.Closed || st.Pool != (conn.Pool{}) {
		t.Errorf("after: %+v", st)
	}
}

// TestMajorityWhateverTheURISays is fault 20.
func TestMajorityWhateverTheURISays(t *testing.T) {
	t.Parallel()
	var c commands
	log := &locked.Buffer{}
	s := source(t, conn.Config{
		URI: uri(t, mongotest.Name(t), "w=1", "journal=false", "readConcernLevel=local", "retryWrites=false"), Monitor: c.monitor(),
		Log: slog.New(slog.NewTextHandler(log, nil)), ClientOptions: func(o *options.ClientOptions) { o.SetRetryWrites(false) },
	})
	for range 2 {
		err := s.With(t.Context(), func(ctx context.Context, ref *conn.Ref) error {
			coll := ref.DB().Collection("c")
			if _, err := coll.InsertOne(ctx, bson.D{{Key: "a", Value: 1}}); err != nil {
				return err
			}
			if err := coll.FindOne(ctx, bson.D{}).Err(); err != nil {
				return err
			}
			return ref.DB().Drop(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	insert, find := c.find("insert"), c.find("find")
	if w, err := insert.LookupErr("writeConcern", "w"); err != nil || w.StringValue() != "majority" {
		t.Errorf("insert: %s", insert)
	}
	if _, err := insert.LookupErr("writeConcern", "j"); err == nil {
		t.Errorf("insert: %s", insert)
	}
	if _, err := insert.LookupErr("txnNumber"); err != nil {
		t.Errorf("the insert cannot be retried: %s", insert)
	}
	if level, err := find.LookupErr("readConcern", "level"); err != nil || level.StringValue() != "majority" {
		t.Errorf("find: %s", find)
	}
	want := []string{
		"write concern w=1 is overridden with majority", "write concern journal=false is overridden",
		"read concern local is overridden with majority", "retryWrites=false is overridden",
	}
	if diff := cmp.Diff(want, s.Status().Warnings); diff != "" {
		t.Error(diff)
	}
	for _, warning := range want {
		if n := strings.Count(log.String(), warning); n != 1 {
			t.Errorf("%q was logged %d times", warning, n)
		}
	}
}

func TestConfigBeatsURIBeatsDefault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg     conn.Config
		options string
		want    []any
	}{
		"Default": {want: []any{"rikki", uint64(2), 5 * time.Second, 30 * time.Second, 2 * time.Second}},
		"URI": {
			options: "appName=a&maxPoolSize=7&serverSelectionTimeoutMS=900&timeoutMS=800&heartbeatFrequencyMS=700",
			want:    []any{"a", uint64(7), 900 * time.Millisecond, 800 * time.Millisecond, 700 * time.Millisecond},
		},
		"Config": {
			cfg:     conn.Config{AppName: "b", PoolSize: 3, ServerSelectionTimeout: time.Second, Timeout: 2 * time.Second, HeartbeatInterval: time.Minute},
			options: "appName=a&maxPoolSize=7&serverSelectionTimeoutMS=900&timeoutMS=800&heartbeatFrequencyMS=700",
			want:    []any{"b", uint64(3), time.Second, 2 * time.Second, time.Minute},
		},
		"LargeMinimum": {options: "minPoolSize=4", want: []any{"rikki", uint64(4), 5 * time.Second, 30 * time.Second, 2 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []any
			c.cfg.URI = "mongodb://127.0.0.1:1/db?" + c.options
			c.cfg.ClientOptions = func(o *options.ClientOptions) {
				got = []any{*o.AppName, *o.MaxPoolSize, *o.ServerSelectionTimeout, *o.Timeout, *o.HeartbeatInterval}
				o.SetHosts([]string{"db.invalid"}).SetDialer(dialer(func(string) error { return &net.DNSError{IsNotFound: true} }))
			}
			s := conn.New(c.cfg)
			if _, err := s.Acquire(t.Context()); conn.KindOf(err) != conn.DNS {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRecovery is a connection that is killed in the middle of a script.
func TestRecovery(t *testing.T) {
	t.Parallel()

	t.Run("CutCommandIsRetried", func(t *testing.T) {
		t.Parallel()
		name := mongotest.Name(t)
		s := source(t, conn.Config{URI: uri(t, name), AppName: name, HeartbeatInterval: 500 * time.Millisecond})
		ref := acquire(t, s)
		coll := ref.DB().Collection("c")
		err := mongotest.Client(t).Database("admin").RunCommand(t.Context(), bson.D{
			{Key: "configureFailPoint", Value: "failCommand"},
			{Key: "mode", Value: bson.D{{Key: "times", Value: 1}}},
			{Key: "data", Value: bson.D{{Key: "failCommands", Value: bson.A{"insert"}}, {Key: "closeConnection", Value: true}, {Key: "appName", Value: name}}},
		}).Err()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
			t.Fatal(err)
		}
		if p := s.Status().Pool; p.Clears == 0 {
			t.Errorf("pool %+v: the connection was never cut", p)
		}
		if n, err := coll.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
			t.Errorf("%d documents, %v; want 1", n, err)
		}
		_ = ref.DB().Drop(t.Context())
		release(t, ref)
	})

	t.Run("LostServerIsReportedAndFoundAgain", func(t *testing.T) {
		t.Parallel()
		server := mongotest.Dedicated(t, nil)
		states := make(chan conn.State, 100)
		s := source(t, conn.Config{
			URI: strings.Replace(server.URI(), "/?", "/db?", 1), HeartbeatInterval: 500 * time.Millisecond, ServerSelectionTimeout: quick,
			OnChange: func(st conn.Status) { states <- st.State },
		})
		ref := acquire(t, s)
		other := acquire(t, s)
		await(t, states, conn.Connected)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		await(t, states, conn.Unreachable)
		if h, err := s.Check(t.Context()); h.OK || h.State != conn.Unreachable || !errors.Is(err, conn.ErrUnreachable) {
			t.Errorf("health %+v, %v", h, err)
		}
		if st := s.Status(); st.References != 2 || st.LastError == "" {
			t.Errorf("status %+v: a lost server must cost nobody the reference", st)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, states, conn.Connected)
		if _, err := ref.DB().Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
			t.Errorf("the same reference after the recovery: %v", err)
		}
		release(t, other)

		// A server that hangs keeps its connections and answers nothing.
		if err := server.Freeze(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), quick)
		defer cancel()
		if _, err := s.Check(ctx); err == nil || time.Since(start) > 10*quick {
			t.Errorf("a frozen server: %v after %s", err, time.Since(start))
		}
		release(t, ref) // must not wait for it either
		if took := time.Since(start); took > 10*quick {
			t.Errorf("the release took %s", took)
		}
		if err := server.Thaw(); err != nil {
			t.Fatal(err)
		}
		await(t, states, conn.Closed)
	})
}

func await(t *testing.T, states <-chan conn.State, want conn.State) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case state := <-states:
			if state == want {
				return
			}
		case <-deadline:
			t.Fatalf("the state never became %q", want)
		}
	}
}

// TestStormLeavesNothing runs 1,000 users with connects that fail against a
// real server, and counts what it still has of them afterwards.
func TestStormLeavesNothing(t *testing.T) {
	t.Parallel()
	name := mongotest.Name(t)
	var refusing atomic.Bool
	refused := errors.New("refused by the test")
	s := source(t, conn.Config{
		URI: uri(t, "db"), AppName: name, ServerSelectionTimeout: 50 * time.Millisecond,
		ClientOptions: func(o *options.ClientOptions) {
			refusing.Store(rand.IntN(3) == 0)
			o.SetDialer(dialer(func(string) error {
				if refusing.Load() {
					return refused
				}
				return nil
			}))
		},
	})
	var served, failed, seen atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 16 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(200))*time.Millisecond)
				ref, err := s.Acquire(ctx)
				if err != nil {
					failed.Add(1)
					cancel()
					continue
				}
				served.Add(1)
				if ref.Client().Ping(ctx, nil) == nil {
					seen.Add(1)
				}
				for range 1 + rand.IntN(2) {
					_ = ref.Release(ctx)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if served.Load() == 0 || failed.Load() == 0 || seen.Load() == 0 {
		t.Errorf("%d served, %d failed, %d pings: nothing is proven", served.Load(), failed.Load(), seen.Load())
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "the server has no connection left", func() bool { return connections(t, name) == 0 })
	eventually(t, "every connect has ended", func() bool {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !strings.Contains(string(stacks), "conn.(*Source).open")
	})
}

func TestReleaseUnderACancelledContextDisconnects(t *testing.T) {
	t.Parallel()
	name := mongotest.Name(t)
	s := source(t, conn.Config{URI: uri(t, "db"), AppName: name})
	ref := acquire(t, s)
	if connections(t, name) == 0 {
		t.Fatal("the connection cannot be seen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ref.Release(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "the server has no connection left", func() bool { return connections(t, name) == 0 })
}

func TestCloseCutsOperations(t *testing.T) {
	t.Parallel()
	s := source(t, conn.Config{URI: uri(t, "db")})
	ref := acquire(t, s)
	failed := make(chan error, 1)
	go func() {
		failed <- ref.DB().RunCommand(context.WithoutCancel(t.Context()), bson.D{
			{Key: "aggregate", Value: 1},
			{Key: "cursor", Value: bson.D{}},
			{Key: "pipeline", Value: bson.A{
				bson.D{{Key: "$documents", Value: bson.A{bson.D{}}}},
				bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: bson.D{{Key: "$function", Value: bson.D{
					{Key: "body", Value: "function() { sleep(5000); return 1 }"}, {Key: "args", Value: bson.A{}}, {Key: "lang", Value: "js"},
				}}}}}}},
			}},
		}).Err()
	}()
	eventually(t, "the operation is under way", func() bool { return s.Status().Pool.InUse == 1 })
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the operation ran to its end")
	}
	release(t, ref)
	if _, err := s.Acquire(t.Context()); err != nil {
		t.Errorf("Acquire after Close: %v", err)
	}
}
