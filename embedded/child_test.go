//go:build unix

package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// child is another process of this test binary.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// spawn starts a child; it is killed at the latest when the test ends.
func spawn(t *testing.T, r role, env ...string) *child {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), roleEnv+"="+string(raw)), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return c
}

// hear returns the child's next answer.
func (c *child) hear() told {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatalf("the child ended without an answer: %v", c.out.Err())
	}
	var a told
	if err := json.Unmarshal(c.out.Bytes(), &a); err != nil {
		c.t.Fatalf("the child said %q", c.out.Text())
	}
	return a
}

// ok is hear for an answer without an error.
func (c *child) ok() told {
	c.t.Helper()
	a := c.hear()
	if a.Err != "" {
		c.t.Fatalf("the child failed: %s", a.Err)
	}
	return a
}

func (c *child) ask(command string) told {
	c.t.Helper()
	c.send(command)
	return c.ok()
}

func (c *child) send(command string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends the child as kill -9 does.
func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// realMongod returns the path of a mongod, or skips. (The package
// internal/mongotest does this for everybody else; it imports this one.)
func realMongod(t *testing.T) string {
	t.Helper()
	if os.Getenv("RIKKI_TEST_URI") == "none" {
		t.Skip("needs a mongod, and RIKKI_TEST_URI=none")
	}
	b, err := Locate(t.Context(), nil)
	if err != nil && os.Getenv("CI") == "" && errors.Is(err, ErrNoBinary) {
		t.Skip("no mongod for this test: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Path
}

// fakeMongod writes a shell script that answers --version and then runs body.
func fakeMongod(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mongod")
	if err := os.WriteFile(path, script(body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func script(body string) []byte {
	return []byte("#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'db version v6.0.5'; exit 0; fi\n" + body + "\n")
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func dead(pid int) bool { return startTime(pid) == "" }

// begin starts a server for the test and stops it at the end.
func begin(t *testing.T, o *Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil { // t.Context has ended
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Its farewell to a server that is gone would wait half a minute.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}
