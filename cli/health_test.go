package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/locked"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// health is what a process that serves answers over HTTP.
type health struct {
	status int
	header http.Header
	OK     bool `json:"ok"`
	Ready  bool `json:"ready"`
	Drain  bool `json:"draining"`
	Active int  `json:"active"`
}

// serving is a program that runs the command serve.
type serving struct {
	cmd    *exec.Cmd
	url    string
	exited chan struct{}
	said   locked.Buffer
}

var healthAt = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/healthz`)

// demoWith starts the demo program on a server, and doesn't wait for its end.
func demoWith(t *testing.T, uri string, out io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Args[0] = "demo" // testscript.Main goes by that
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "DEMO_HISTORY=health_history", "MONGODB_URI=" + uri}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func startServing(t *testing.T, uri string, args ...string) *serving {
	t.Helper()
	s := &serving{exited: make(chan struct{})}
	s.cmd = demoWith(t, uri, &s.said, append([]string{"serve", "--listen=127.0.0.1:0", "--poll=100ms"}, args...)...)
	go func() { defer close(s.exited); _ = s.cmd.Wait() }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.exited
		if t.Failed() {
			t.Log(s.said.String())
		}
	})
	within(t, "the address of its health", func() bool {
		found := healthAt.FindStringSubmatch(s.said.String())
		if found != nil {
			s.url = found[1]
		}
		return found != nil
	})
	return s
}

// within polls until something is so.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(2 * storyPatience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

func (s *serving) ask(t *testing.T, method, path string) health {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // an answer never waits for the database
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	h := health{status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&h); err != nil && strings.HasSuffix(path, "z") && method == http.MethodGet {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	http.DefaultClient.CloseIdleConnections()
	return h
}

// A process that serves is ready, then at work, then draining, and at each of them says so.
func TestHealthOfServe(t *testing.T) {
	t.Parallel()
	mongo := mongotest.Dedicated(t, nil)
	uri := strings.Replace(mongo.URI(), "/?", "/health?", 1)
	s := startServing(t, uri, "--grace=1m")
	within(t, "readiness", func() bool { return s.ask(t, http.MethodGet, "/readyz").status == http.StatusOK })
	for _, path := range []string{"/healthz", "/readyz"} {
		h := s.ask(t, http.MethodGet, path)
		if h.status != http.StatusOK || !h.OK || !h.Ready || h.Drain {
			t.Errorf("%s of one that is ready: %+v", path, h)
		}
		if h.header.Get("Cache-Control") != "no-store" || h.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", path, h.header)
		}
	}
	if h := s.ask(t, http.MethodPost, "/readyz"); h.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", h.status)
	}
	if h := s.ask(t, http.MethodGet, "/"); h.status != http.StatusNotFound {
		t.Errorf("another path: %d", h.status)
	}

	begun := filepath.Join(t.TempDir(), "begun")
	queue := demoWith(t, uri, io.Discard, "run", "stubborn", "--queue", "--begun="+begun)
	if err := queue.Wait(); err != nil {
		t.Fatal(err)
	}
	within(t, "begin of the run", func() bool { _, err := os.Stat(begun); return err == nil })
	if h := s.ask(t, http.MethodGet, "/readyz"); h.Active != 1 || h.status != http.StatusOK {
		t.Errorf("one at work: %+v", h)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// No more work for it, but no reason to kill it.
	within(t, "draining", func() bool { return s.ask(t, http.MethodGet, "/readyz").status == http.StatusServiceUnavailable })
	if h := s.ask(t, http.MethodGet, "/readyz"); h.OK || h.Ready || !h.Drain || h.Active != 1 {
		t.Errorf("readyz of one that drains: %+v", h)
	}
	if h := s.ask(t, http.MethodGet, "/healthz"); h.status != http.StatusOK || !h.OK {
		t.Errorf("healthz of one that drains: %+v", h)
	}
}

// One that serves the queue and doesn't fire schedules yet isn't ready.
func TestReadyOnlyWithItsSchedules(t *testing.T) {
	t.Parallel()
	mongo := mongotest.Dedicated(t, nil)
	refuse := func(mode string) {
		t.Helper()
		if err := mongo.FailPoint(t.Context(), bson.D{
			{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}, {Key: "data", Value: bson.D{
				{Key: "failCommands", Value: bson.A{"createIndexes"}}, {Key: "namespace", Value: "health_history.occurrences"}, {Key: "errorCode", Value: 11600},
			}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	refuse("alwaysOn")
	s := startServing(t, strings.Replace(mongo.URI(), "/?", "/health?", 1))
	within(t, "the loss of the schedules", func() bool { return strings.Contains(s.said.String(), "no schedule is fired") })
	within(t, "the queue", func() bool { return strings.Contains(s.said.String(), "Serving the queue") })
	if h := s.ask(t, http.MethodGet, "/readyz"); h.status != http.StatusServiceUnavailable || h.OK || h.Ready || h.Drain {
		t.Errorf("readyz without schedules: %+v", h)
	}
	refuse("off")
	within(t, "readiness", func() bool { return s.ask(t, http.MethodGet, "/readyz").status == http.StatusOK })
}

// One whose database is gone takes no work, which is no reason to kill it at once, and comes back by itself.
func TestHealthWithoutADatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until a process counts as unhealthy, half a minute")
	}
	mongo := mongotest.Dedicated(t, nil)
	// A server that goes while the schedules are opened ends the command: that is an error at the beginning.
	s := startServing(t, strings.Replace(mongo.URI(), "/?", "/health?", 1))
	within(t, "readiness", func() bool { return s.ask(t, http.MethodGet, "/readyz").status == http.StatusOK })
	if err := mongo.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, "the loss of readiness", func() bool {
		h := s.ask(t, http.MethodGet, "/readyz")
		return h.status == http.StatusServiceUnavailable && !h.OK && !h.Drain
	})
	within(t, "the loss of health", func() bool { return s.ask(t, http.MethodGet, "/healthz").status == http.StatusServiceUnavailable })
	if err := mongo.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "readiness again", func() bool { return s.ask(t, http.MethodGet, "/readyz").status == http.StatusOK })
	if h := s.ask(t, http.MethodGet, "/healthz"); h.status != http.StatusOK {
		t.Errorf("healthz of one that is back: %+v", h)
	}
}
