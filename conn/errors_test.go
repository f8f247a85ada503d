package conn_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/locked"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// secret is in every URI of these tests and must be in no output.
const secret = "CANARY7f3a"

// failure is what a connect that cannot succeed must look like.
type failure struct {
	kind     conn.Kind
	sentinel error
	why      string // a part of it
	within   time.Duration
}

func (want failure) check(t *testing.T, cfg conn.Config) {
	t.Helper()
	log := &locked.Buffer{}
	cfg.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := source(t, cfg)
	start := time.Now()
	_, err := s.Acquire(t.Context())
	took := time.Since(start)
	var e *conn.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Kind != want.kind || !errors.Is(err, want.sentinel) || !strings.Contains(e.Why, want.why) || e.Fix == "" {
		t.Errorf("got %+v\nwant %+v", e, want)
	}
	if took > want.within {
		t.Errorf("it took %s, more than %s", took, want.within)
	}
	st := s.Status()
	if st.State != conn.Unreachable || st.LastError == "" {
		t.Errorf("status %+v", st)
	}
	_ = s.Close(t.Context())
	if out := e.Error() + e.URI + e.Fix + e.Err.Error() + st.LastError + st.URI + log.String(); strings.Contains(out, secret) {
		t.Errorf("the password was shown: %s", out)
	}
	if log.String() == "" {
		t.Error("nothing was logged")
	}
}

// quick is long enough for a server that answers, and short enough for a test.
const quick = time.Second

func TestErrorsOfTheNetwork(t *testing.T) {
	t.Parallel()

	t.Run("RefusedByARealPort", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		failure{conn.Refused, conn.ErrUnreachable, address + ": connection refused", 6 * time.Second}.check(t,
			conn.Config{URI: "mongodb://u:" + secret + "@" + address + "/db", ServerSelectionTimeout: quick})
	})

	t.Run("UnknownHostIsNotWaitedFor", func(t *testing.T) {
		t.Parallel()
		failure{conn.DNS, conn.ErrUnreachable, "no such host", 5 * time.Second}.check(t, conn.Config{
			URI: "mongodb://u:" + secret + "@db.invalid/db", ServerSelectionTimeout: time.Minute,
			ClientOptions: dialing(func() error { return &net.DNSError{Err: "no such host", Name: "db.invalid", IsNotFound: true} }),
		})
	})

	t.Run("OneUnknownHostOfTwoIsWaitedFor", func(t *testing.T) {
		t.Parallel()
		s := source(t, conn.Config{
			URI: "mongodb://a.invalid,b.invalid/db", ServerSelectionTimeout: quick,
			ClientOptions: func(o *options.ClientOptions) {
				o.SetDialer(dialer(func(address string) error {
					if strings.HasPrefix(address, "a.") {
						return &net.DNSError{Err: "no such host", Name: "a.invalid", IsNotFound: true}
					}
					return syscall.ECONNREFUSED
				}))
			},
		})
		start := time.Now()
		_, err := s.Acquire(t.Context())
		if time.Since(start) < quick/2 {
			t.Error("it gave up though the other host may come")
		}
		if conn.KindOf(err) != conn.Refused || !strings.Contains(err.Error(), "a.invalid:27017: no such host; b.invalid:27017: connection refused") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("SilentServer", func(t *testing.T) {
		t.Parallel()
		address := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		failure{conn.Timeout, conn.ErrUnreachable, address, 6 * time.Second}.check(t,
			conn.Config{URI: "mongodb://u:" + secret + "@" + address + "/db", ServerSelectionTimeout: quick})
	})

	t.Run("ServerThatHangsUp", func(t *testing.T) {
		t.Parallel()
		address := listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 16)) })
		failure{conn.Dropped, conn.ErrUnreachable, "may require TLS", 6 * time.Second}.check(t,
			conn.Config{URI: "mongodb://u:" + secret + "@" + address + "/db", ServerSelectionTimeout: quick})
	})

	t.Run("DefaultURIsErrorNamesBothWaysOut", func(t *testing.T) {
		t.Parallel()
		s := source(t, conn.Config{ClientOptions: dialing(func() error { return syscall.ECONNREFUSED }), ServerSelectionTimeout: quick})
		_, err := s.Acquire(t.Context())
		var e *conn.Error
		if !errors.As(err, &e) || !strings.Contains(e.Fix, "MONGODB_URI") || !strings.Contains(e.Fix, "--embedded") {
			t.Errorf("got %+v", e)
		}
	})
}

func TestErrorsOfTheReplicaSet(t *testing.T) {
	t.Parallel()

	t.Run("WrongNameIsNotWaitedFor", func(t *testing.T) {
		t.Parallel()
		for _, direct := range []string{"", "&directConnection=true"} {
			host := strings.TrimPrefix(strings.Split(uri(t, "db"), "/db")[0], "mongodb://")
			failure{conn.ReplicaSetName, conn.ErrUnreachable, `not "wrong"`, 10 * time.Second}.check(t,
				conn.Config{URI: "mongodb://" + host + "/db?replicaSet=wrong" + direct, ServerSelectionTimeout: time.Minute})
		}
	})

	t.Run("Uninitiated", func(t *testing.T) {
		t.Parallel()
		server := mongotest.Dedicated(t, &embedded.Options{Standalone: true, Args: []string{"--replSet", "rs9"}})
		host, _, _ := strings.Cut(server.URI(), "/?")
		failure{conn.Uninitiated, conn.ErrUnreachable, "initiated", 6 * time.Second}.check(t,
			conn.Config{URI: host + "/db?replicaSet=rs9", ServerSelectionTimeout: quick})
	})

	t.Run("NoPrimary", func(t *testing.T) {
		t.Parallel()
		server := mongotest.Dedicated(t, nil)
		address := strings.Replace(server.URI(), "/?", "/db?", 1)
		watcher := source(t, conn.Config{URI: address})
		ref := acquire(t, watcher)
		err := ref.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "replSetStepDown", Value: 600}, {Key: "force", Value: true}}).Err()
		if err != nil {
			t.Fatalf("step down: %v", err)
		}
		eventually(t, "the open source sees the loss", func() bool { return watcher.Status().State == conn.NoPrimary })
		failure{conn.NotPrimary, conn.ErrUnreachable, "is a secondary", 6 * time.Second}.check(t,
			conn.Config{URI: address, ServerSelectionTimeout: quick})
		ctx, cancel := context.WithTimeout(t.Context(), quick)
		defer cancel()
		if h, err := watcher.Check(ctx); h.OK || h.State != conn.NoPrimary || conn.KindOf(err) != conn.NotPrimary {
			t.Errorf("health %+v, %v", h, err)
		}
		release(t, ref)
	})
}

func TestStandalone(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true, Args: []string{"--auth"}})
	host := strings.TrimPrefix(strings.Split(server.URI(), "/?")[0], "mongodb://")

	admin := source(t, conn.Config{URI: "mongodb://" + host + "/admin"})
	ref := acquire(t, admin)
	err := ref.DB().RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: "ops"},
		{Key: "pwd", Value: "p@ss:/" + secret},
		{Key: "roles", Value: bson.A{"root"}},
	}).Err() // the server lets the first user be made without a login
	if err != nil {
		t.Fatal(err)
	}
	release(t, ref)

	t.Run("HasNoTransactions", func(t *testing.T) {
		t.Parallel()
		s := source(t, conn.Config{URI: "mongodb://ops:p%40ss%3A%2F" + secret + "@" + host + "/db?authSource=admin"})
		ref := acquire(t, s)
		defer release(t, ref)
		err := ref.Transactions()
		if conn.KindOf(err) != conn.Standalone || !errors.Is(err, conn.ErrStandalone) {
			t.Errorf("got %v", err)
		}
		if st := s.Status(); !st.Standalone || st.Transactions || st.State != conn.Connected {
			t.Errorf("status %+v", st)
		}
		if _, err := ref.DB().Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
			t.Errorf("insert: %v", err)
		}
	})

	t.Run("IsNoMemberOfAReplicaSet", func(t *testing.T) {
		t.Parallel()
		failure{conn.Standalone, conn.ErrStandalone, `not a member of replica set "rs0"`, 10 * time.Second}.check(t,
			conn.Config{URI: "mongodb://u:" + secret + "@" + host + "/db?replicaSet=rs0", ServerSelectionTimeout: time.Minute})
	})

	for name, credentials := range map[string]string{
		"RefusesAWrongPassword": "ops:" + secret + "@",
		"RefusesAnUnknownUser":  secret + ":" + secret + "@",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failure{conn.Auth, conn.ErrAuth, "Authentication failed", 10 * time.Second}.check(t,
				conn.Config{URI: "mongodb://" + credentials + host + "/db?authSource=admin", ServerSelectionTimeout: time.Minute})
		})
	}
}

// dialing makes every connection fail with an error.
func dialing(fail func() error) func(*options.ClientOptions) {
	return func(o *options.ClientOptions) { o.SetDialer(dialer(func(string) error { return fail() })) }
}

type dialer func(address string) error

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := d(address); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// listen serves every connection with serve until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() { defer c.Close(); serve(c) }) //nolint:errcheck // either side may have closed it
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// TestConnectIsRetried cuts the first connections right behind the handshake of
// the monitor, so that only the ping fails.
func TestConnectIsRetried(t *testing.T) {
	t.Parallel()
	name := mongotest.Name(t)
	err := mongotest.Client(t).Database("admin").RunCommand(t.Context(), bson.D{
		{Key: "configureFailPoint", Value: "failCommand"},
		{Key: "mode", Value: bson.D{{Key: "times", Value: 3}}},
		{Key: "data", Value: bson.D{{Key: "failCommands", Value: bson.A{"ping"}}, {Key: "closeConnection", Value: true}, {Key: "appName", Value: name}}},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	log := &locked.Buffer{}
	s := source(t, conn.Config{
		URI: uri(t, "db"), AppName: name, HeartbeatInterval: 500 * time.Millisecond, ConnectFor: 20 * time.Second,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	release(t, acquire(t, s))
	if n := strings.Count(log.String(), "trying again"); n != 3 {
		t.Errorf("%d retries were logged, want 3: %s", n, log)
	}
}
