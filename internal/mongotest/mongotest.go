package mongotest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/embedded"
)

// uriEnv names a server to use instead of an embedded one.
const uriEnv = "RIKKI_TEST_URI"

// none in [uriEnv] is for those who want only the tests that need no server.
const none = "none"

// startLimit bounds the start of a server, a download included.
const startLimit = 20 * time.Minute

// shared is the test binary's one server. A test binary is one program with
// one TestMain, so this is as local as it can be.
var shared struct { //nolint:gochecknoglobals // see above
	once   sync.Once
	server *embedded.Server
	client *mongo.Client
	err    error
}

// Main runs a package's tests, then stops the server if one was started, and
// fails when goroutines are left. It returns the exit code.
func Main(m *testing.M, ignore ...goleak.Option) int {
	return MainAfter(m, func() error { return nil }, ignore...)
}

// MainAfter is [Main] for packages that have more to stop than the server.
func MainAfter(m *testing.M, more func() error, ignore ...goleak.Option) int {
	code := m.Run()
	if err := errors.Join(more(), stop()); err != nil {
		fmt.Fprintln(os.Stderr, "mongotest:", err)
		code = max(code, 1)
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(ignore...); err != nil {
		fmt.Fprintln(os.Stderr, "mongotest: goroutines left after all tests:", err)
		return 1
	}
	return 0
}

func stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if shared.client != nil {
		errs = append(errs, shared.client.Disconnect(ctx))
	}
	if shared.server != nil {
		errs = append(errs, shared.server.Stop(ctx))
	}
	return errors.Join(errs...)
}

// start connects to the server, once.
func start() {
	uri := os.Getenv(uriEnv)
	if uri == "" {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		shared.server, shared.err = embedded.Start(ctx, testOptions(nil))
		if shared.err != nil {
			return
		}
		uri = shared.server.URI()
	}
	shared.client, shared.err = mongo.Connect(options.Client().ApplyURI(uri).SetAppName("mongotest"))
}

// testOptions adds to o what every test server has.
func testOptions(o *embedded.Options) *embedded.Options {
	var c embedded.Options
	if o != nil {
		c = *o
	}
	c.Args = append([]string{"--setParameter", "enableTestCommands=1"}, c.Args...)
	return &c
}

// Wanted skips the test where the environment says that no server shall be used.
func Wanted(t testing.TB) {
	t.Helper()
	if os.Getenv(uriEnv) == none {
		t.Skipf("needs a MongoDB, and %s=%s", uriEnv, none)
	}
}

// need starts the shared server and deals with its absence.
func need(t testing.TB) {
	t.Helper()
	Wanted(t)
	shared.once.Do(start)
	Unavailable(t, shared.err)
}

// Unavailable skips or fails the test when there is no mongod to be had. A
// mongod that is there and does not start is always a failure.
func Unavailable(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "" && (errors.Is(err, embedded.ErrNoBinary) || errors.Is(err, embedded.ErrOffline)):
		t.Skip("no MongoDB for this test: ", err)
	default:
		t.Fatal("no MongoDB for this test: ", err)
	}
}

// Server returns the test binary's shared server. Tests that stop, freeze or
// kill it use [Dedicated] instead. It skips where RIKKI_TEST_URI names a server.
func Server(t testing.TB) *embedded.Server {
	t.Helper()
	need(t)
	if shared.server == nil {
		t.Skipf("needs a server of its own, but %s names one", uriEnv)
	}
	return shared.server
}

// URI returns the shared server's URI, without a database.
func URI(t testing.TB) string {
	t.Helper()
	Wanted(t)
	if uri := os.Getenv(uriEnv); uri != "" {
		return uri
	}
	return Server(t).URI()
}

// Client returns a client of the shared server. It is shared too: do not disconnect it.
func Client(t testing.TB) *mongo.Client {
	t.Helper()
	need(t)
	return shared.client
}

// Dedicated starts a server for this test alone and stops it at the end. Test
// commands are enabled; opts may be nil.
func Dedicated(t testing.TB, opts *embedded.Options) *embedded.Server {
	t.Helper()
	Wanted(t)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	s, err := embedded.Start(ctx, testOptions(opts))
	Unavailable(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error("stop the test's own server:", err)
		}
	})
	return s
}
