//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("ServesTransactionsAndChangeStreamsAndVanishes", func(t *testing.T) {
		t.Parallel()
		s := begin(t, &Options{Binary: realMongod(t)})
		ctx := t.Context()
		c := connect(t, s.URI()).Database("d").Collection("c")
		stream, err := c.Watch(ctx, mongo.Pipeline{})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close(ctx) //nolint:errcheck // a test
		session, err := c.Database().Client().StartSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.EndSession(ctx)
		_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
			return c.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if !stream.Next(ctx) {
			t.Fatal("no change event: ", stream.Err())
		}
		if s.Port() == 27017 || s.Joined() || len(s.Logs()) == 0 || s.PID() == 0 {
			t.Errorf("port %d, joined %v, %d log lines, pid %d", s.Port(), s.Joined(), len(s.Logs()), s.PID())
		}
		for _, path := range []string{s.Dir(), filepath.Join(s.Dir(), "data")} {
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v; want only the owner to enter", path, fi.Mode(), err)
			}
		}
		pid := s.PID()
		if err := s.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if !dead(pid) || !missing(s.Dir()) {
			t.Errorf("after Stop: mongod dead %v, directory gone %v", dead(pid), missing(s.Dir()))
		}
		if err := s.Stop(ctx); err != nil {
			t.Error("second Stop: ", err)
		}
		if err := s.Freeze(); !errors.Is(err, ErrStopped) {
			t.Errorf("Freeze after Stop = %v, want ErrStopped", err)
		}
	})

	t.Run("KeepsDataAndPortOverRestart", func(t *testing.T) {
		t.Parallel()
		o := &Options{Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		first := begin(t, o)
		mustCount(t, first, 1)
		pid := first.PID()
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !dead(pid) {
			t.Error("mongod outlived Stop of its last user")
		}
		second := begin(t, o)
		mustCount(t, second, 2)
		if first.Port() != second.Port() {
			t.Errorf("port changed from %d to %d", first.Port(), second.Port())
		}
	})

	t.Run("MovesToAnotherPortWhenItsOwnIsTaken", func(t *testing.T) {
		t.Parallel()
		o := &Options{Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		first := begin(t, o)
		mustCount(t, first, 1)
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		occupy(t, first.Port())
		second := begin(t, o)
		if second.Port() == first.Port() {
			t.Fatal("two listeners on one port")
		}
		mustCount(t, second, 2)
	})

	t.Run("IsJoinedInTheSameProcess", func(t *testing.T) {
		t.Parallel()
		o := &Options{Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		a, b := begin(t, o), begin(t, o)
		if a.Joined() || !b.Joined() || a.PID() != b.PID() || a.URI() != b.URI() {
			t.Errorf("joined %v %v, pid %d %d", a.Joined(), b.Joined(), a.PID(), b.PID())
		}
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustCount(t, b, 1)
	})

	t.Run("ComesBackAfterKill", func(t *testing.T) {
		t.Parallel()
		s := begin(t, &Options{Binary: realMongod(t)})
		client := connect(t, s.URI())
		insert(t, client)
		pid := s.PID()
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if !dead(pid) || s.PID() != 0 {
			t.Error("mongod survived Kill")
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(t, client) // the same client, the same URI
		mustCount(t, s, 3)
		if err := s.Restart(t.Context()); err != nil { // of a running one
			t.Fatal(err)
		}
		mustCount(t, s, 4)
	})

	t.Run("DoesNotComeBackAsAnotherProgram", func(t *testing.T) {
		t.Parallel()
		binary := filepath.Join(t.TempDir(), "mongod")
		b, err := os.ReadFile(realMongod(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(binary, b, 0o700), os.WriteFile(binary+".sha256", []byte(sumOf(b)), 0o600)); err != nil {
			t.Fatal(err)
		}
		s := begin(t, &Options{Binary: binary})
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		damage(t, binary)
		if err := s.Restart(t.Context()); !errors.Is(err, ErrChecksum) || s.PID() != 0 {
			t.Errorf("err = %v with mongod %d, want ErrChecksum and none", err, s.PID())
		}
	})

	t.Run("MayBeLeftWithoutAWait", func(t *testing.T) {
		t.Parallel()
		o := &Options{Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		first := begin(t, o)
		mustCount(t, first, 1)
		if err := first.Leave(); err != nil {
			t.Fatal(err)
		}
		second := begin(t, o) // while the first one's mongod shuts down, or joins if that is not so far yet
		mustCount(t, second, 2)
	})

	t.Run("LeavesNothingWhenStoppedAfterKill", func(t *testing.T) {
		t.Parallel()
		s := begin(t, &Options{Binary: realMongod(t)})
		if err := errors.Join(s.Kill(), s.Stop(t.Context())); err != nil {
			t.Fatal(err)
		}
		if !missing(s.Dir()) {
			t.Error("the private directory is still there")
		}
	})

	t.Run("FreezesAndThaws", func(t *testing.T) {
		t.Parallel()
		s := begin(t, &Options{Binary: realMongod(t)})
		client := connect(t, s.URI())
		insert(t, client)
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := client.Ping(short, nil); err == nil {
			t.Error("a frozen server answered")
		}
		if err := s.Thaw(); err != nil {
			t.Fatal(err)
		}
		insert(t, client)
		if err := errors.Join(s.Freeze(), s.Stop(t.Context())); err != nil {
			t.Error("stop a frozen server: ", err)
		}
	})

	t.Run("SetsFailPoints", func(t *testing.T) {
		t.Parallel()
		s := begin(t, &Options{Binary: realMongod(t), Args: []string{"--setParameter", "enableTestCommands=1"}})
		err := s.FailPoint(t.Context(), bson.D{
			{Key: "configureFailPoint", Value: "failCommand"},
			{Key: "mode", Value: bson.D{{Key: "times", Value: 1}}},
			{Key: "data", Value: bson.D{{Key: "failCommands", Value: bson.A{"count"}}, {Key: "errorCode", Value: 2}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		db := connect(t, s.URI()).Database("d")
		count := bson.D{{Key: "count", Value: "c"}}
		var se mongo.CommandError
		if err := db.RunCommand(t.Context(), count).Err(); !errors.As(err, &se) || se.Code != 2 {
			t.Errorf("first count = %v, want the injected error", err)
		}
		if err := db.RunCommand(t.Context(), count).Err(); err != nil {
			t.Errorf("second count = %v, want none", err)
		}
	})

	t.Run("RunsStandalone", func(t *testing.T) {
		t.Parallel()
		s := begin(t, &Options{Binary: realMongod(t), Standalone: true})
		var h bson.M
		if err := connect(t, s.URI()).Database("admin").RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&h); err != nil {
			t.Fatal(err)
		}
		if h["setName"] != nil || h["isWritablePrimary"] != true {
			t.Errorf("hello = %v, want a standalone", h)
		}
	})
}

func TestStartFails(t *testing.T) {
	t.Parallel()

	t.Run("OnAPortThatIsTaken", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // a test
		port := l.Addr().(*net.TCPAddr).Port
		_, err = Start(t.Context(), &Options{Binary: realMongod(t), Port: port})
		var exit *ExitError
		var explained *Error
		if !errors.Is(err, ErrExited) || !errors.As(err, &exit) || exit.Code != exitPortTaken {
			t.Fatalf("err = %v, want exit code %d", err, exitPortTaken)
		}
		if !errors.As(err, &explained) || !strings.Contains(explained.Fix, "another program listens on port "+strconv.Itoa(port)) {
			t.Errorf("fix = %q, want it to name the port", explained.Fix)
		}
	})

	t.Run("WithItsLastWarningsAndErrors", func(t *testing.T) {
		t.Parallel()
		noise := `{"t":{},"s":"I","c":"X","id":1,"ctx":"main","msg":"all is well"}`
		var b strings.Builder
		for i := range 30 {
			fmt.Fprintf(&b, "echo '%s'\necho '{\"s\":\"E\",\"msg\":\"trouble\",\"attr\":{\"n\":%d}}'\n", noise, i)
		}
		o := &Options{Binary: fakeMongod(t, b.String()+"echo 'No space left on device'; exit 14")}
		s, err := Start(t.Context(), o)
		if err == nil {
			t.Fatal("started: ", s.URI())
		}
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 14 || len(exit.Lines) != errorLines {
			t.Fatalf("err = %v, want exit code 14 and %d lines", err, errorLines)
		}
		if exit.Lines[0] != `E trouble {"n":11}` || exit.Lines[errorLines-1] != "No space left on device" {
			t.Errorf("lines = %q", exit.Lines)
		}
		var explained *Error
		if errors.As(err, &explained); !strings.Contains(explained.Fix, "is full") {
			t.Errorf("fix = %q, want the full disk", explained.Fix)
		}
	})

	t.Run("WhenALibraryIsMissing", func(t *testing.T) {
		t.Parallel()
		const complaint = "mongod: error while loading shared libraries: libcrypto.so.1.1: cannot open shared object file: No such file or directory"
		loader := filepath.Join(t.TempDir(), "mongod")
		if err := os.WriteFile(loader, []byte("#!/bin/sh\necho '"+complaint+"' >&2; exit 127\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		later := fakeMongod(t, "echo '"+complaint+"' >&2; exit 127") // e.g. removed after the version was asked
		for _, binary := range []string{loader, later} {
			_, err := Start(t.Context(), &Options{Binary: binary})
			if !errors.Is(err, ErrMissingLibrary) || !strings.Contains(err.Error(), "libcrypto.so.1.1") {
				t.Errorf("err = %v, want the library's name", err)
			}
		}
	})

	t.Run("WhenItDoesNotBecomeReadyAndLeavesNothing", func(t *testing.T) {
		t.Parallel()
		tmp := t.TempDir()
		pidFile := filepath.Join(tmp, "pid")
		binary := fakeMongod(t, "echo $$ > "+pidFile+"; exec sleep 1000")
		o := &Options{Binary: binary, Dir: filepath.Join(tmp, "db"), StartTimeout: 6 * time.Second} // a busy machine takes seconds to start a shell
		if _, err := Start(t.Context(), o); !errors.Is(err, ErrStartTimeout) {
			t.Errorf("err = %v, want ErrStartTimeout", err)
		}
		eventually(t, "mongod is gone", func() bool { return dead(readPID(t, pidFile)) })

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Start(ctx, &Options{Binary: binary}); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v, want context.Canceled", err)
		}
	})

	t.Run("WithWhatTheUserNamedAndNothingElse", func(t *testing.T) {
		t.Parallel()
		old := filepath.Join(t.TempDir(), "mongod")
		if err := os.WriteFile(old, []byte("#!/bin/sh\necho 'db version v4.4.29'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), &Options{Binary: old}); !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), "4.4.29") {
			t.Errorf("err = %v, want ErrTooOld", err)
		}
		for _, path := range []string{"/no/such/mongod", t.TempDir(), "/bin/ls"} {
			if _, err := Start(t.Context(), &Options{Binary: path}); !errors.Is(err, ErrNoBinary) {
				t.Errorf("%s: err = %v, want ErrNoBinary", path, err)
			}
		}
	})

	t.Run("OnInvalidOptionsAllAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := Start(t.Context(), &Options{Port: -1, Version: "six", StartTimeout: -1, DownloadTimeout: -1})
		for _, want := range []string{"port -1", `"six"`, "StartTimeout", "DownloadTimeout"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("err = %v, want it to name %s", err, want)
			}
		}
	})
}

func insert(t *testing.T, client *mongo.Client) {
	t.Helper()
	if _, err := client.Database("d").Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
}

// mustCount inserts a document and wants so many afterwards.
func mustCount(t *testing.T, s *Server, want int64) {
	t.Helper()
	if got, err := write(t.Context(), s.URI()); err != nil || got != want {
		t.Fatalf("documents = %d, %v; want %d", got, err, want)
	}
}

func occupy(t *testing.T, port int) {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

func readPID(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
