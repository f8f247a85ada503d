package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// These tests run several processes: what one must not do to another.

func TestProcesses(t *testing.T) {
	t.Parallel()

	t.Run("ShareOneServerWhichTheLastOneStops", func(t *testing.T) {
		t.Parallel()
		const n = 6
		r := role{Do: "use", Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		var users []*child
		for range n { // all at once
			users = append(users, spawn(t, r))
		}
		started, pid := 0, 0
		for _, u := range users {
			a := u.ok()
			if !a.Joined {
				started++
			}
			if pid != 0 && a.PID != pid {
				t.Errorf("two servers: %d and %d", pid, a.PID)
			}
			pid = a.PID
		}
		if started != 1 {
			t.Errorf("%d processes started a server, want 1", started)
		}
		for i, u := range users {
			if a := u.ask("write"); a.Count != int64(i+1) {
				t.Errorf("process %d sees %d documents, want those of all before it", i, a.Count)
			}
		}
		for _, u := range users[1:] {
			u.ask("stop")
		}
		if dead(pid) {
			t.Fatal("the server stopped while one process used it")
		}
		if a := users[0].ask("write"); a.Count != n+1 {
			t.Errorf("the last user sees %d documents, want %d", a.Count, n+1)
		}
		users[0].ask("stop")
		if !dead(pid) {
			t.Error("the server outlived Stop of its last user")
		}
		if !missing(layout(r.Dir).server()) {
			t.Error("server.json outlived the server")
		}
	})

	t.Run("MayLeaveWhileOthersComeAnyNumberOfTimes", func(t *testing.T) {
		t.Parallel()
		const n, rounds = 4, 3
		r := role{Do: "hurry", Rounds: rounds, Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		var users []*child
		for range n {
			users = append(users, spawn(t, r))
		}
		for _, u := range users {
			u.ok()
		}
		s := begin(t, &Options{Binary: r.Binary, Dir: r.Dir})
		mustCount(t, s, n*rounds+1)
	})

	t.Run("LeaveNoOrphanWhenTheyAreKilledOrPanic", func(t *testing.T) {
		t.Parallel()
		r := role{Do: "use", Binary: realMongod(t)}
		for _, how := range []string{"kill -9", "panic"} {
			u := spawn(t, r)
			a := u.ok()
			if how == "panic" {
				u.send("panic")
			} else {
				u.kill()
			}
			eventually(t, "mongod is gone after "+how, func() bool { return dead(a.PID) })
			eventually(t, "its directory is gone after "+how, func() bool { return missing(a.Dir) })
		}
	})

	t.Run("GoOnWhenTheOneThatStartedTheServerDies", func(t *testing.T) {
		t.Parallel()
		r := role{Do: "use", Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		first := spawn(t, r)
		first.ok()
		second := spawn(t, r)
		if a := second.ok(); !a.Joined {
			t.Fatal("the second process did not join")
		}
		first.kill()
		if a := second.ask("write"); a.Count != 1 {
			t.Errorf("documents = %d, want 1", a.Count)
		}
		second.ask("stop")
	})

	t.Run("RecoverWhenTheWatcherIsKilled", func(t *testing.T) {
		t.Parallel()
		o := &Options{Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		s := begin(t, o)
		mustCount(t, s, 1)
		rec, err := s.dir.record()
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(rec.Watcher, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the kernel kills mongod with its watcher", func() bool { return dead(rec.PID) })
		again := begin(t, o) // finds server.json and mongod.lock of the dead
		if again.Joined() {
			t.Error("joined a dead server")
		}
		mustCount(t, again, 2)
		mustCount(t, s, 3) // the first user's URI is good again, too
	})

	t.Run("FinishAStartThatAnotherDidNotSurvive", func(t *testing.T) {
		t.Parallel()
		r := role{Do: "use", KillAt: "spawned", Binary: realMongod(t), Dir: filepath.Join(t.TempDir(), "db")}
		victim := spawn(t, r)
		victim.ok() // a mongod is on its way up
		r.KillAt = ""
		heir := spawn(t, r)
		victim.send("die")
		heir.ok()
		if a := heir.ask("write"); a.Count != 1 {
			t.Errorf("documents = %d, want 1", a.Count)
		}
		heir.ask("stop")
		if err := victim.cmd.Wait(); err == nil {
			t.Error("the first process was to be killed half-way")
		}
	})

	t.Run("SweepOnlyWhatNobodyUses", func(t *testing.T) {
		t.Parallel()
		tmp := t.TempDir()
		r := role{Do: "use", Binary: realMongod(t)}
		inUse := spawn(t, r, "TMPDIR="+tmp)
		kept := inUse.ok()
		stale := filepath.Join(filepath.Dir(kept.Dir), privatePrefix+"stale")
		if err := os.MkdirAll(filepath.Join(stale, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(stale, "data", "x.wt"), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		other := spawn(t, r, "TMPDIR="+tmp)
		other.ok()
		if !missing(stale) {
			t.Error("a directory without an owner is still there")
		}
		if a := inUse.ask("write"); a.Count != 1 || missing(kept.Dir) {
			t.Error("a directory in use was swept")
		}
		inUse.ask("stop")
		other.ask("stop")
	})

	t.Run("KeepTheServerAwayFromTheTerminal", func(t *testing.T) {
		t.Parallel()
		// As a shell leaves them open: inherited, whatever Go does with its own.
		var pair [2]int
		if err := syscall.Pipe(pair[:]); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(syscall.Close(pair[0]), syscall.Close(pair[1])) }()
		pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", pair[1]))
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, &Options{Binary: realMongod(t)})
		rec, err := s.dir.record()
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range []int{rec.PID, rec.Watcher} {
			if group(t, pid) == group(t, os.Getpid()) {
				t.Errorf("process %d is in our process group: Ctrl-C would reach it", pid)
			}
		}
		for _, pid := range []int{rec.PID, rec.Watcher} {
			if holds(t, pid, pipe) {
				t.Errorf("process %d holds a pipe of ours: its reader would wait for the server", pid)
			}
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", rec.PID))
		if err != nil || bytes.Contains(env, []byte(watcherEnv)) {
			t.Errorf("mongod got the watcher's environment: %v", err)
		}
	})
}

func TestFullDisk(t *testing.T) {
	t.Parallel()

	t.Run("OfTheDataIsNamed", func(t *testing.T) {
		t.Parallel()
		binary, dir := realMongod(t), smallDisk(t, "size=256k")
		_, err := Start(t.Context(), &Options{Binary: binary, Dir: filepath.Join(dir, "db")})
		var explained *Error
		if !errors.Is(err, ErrExited) || !errors.As(err, &explained) || !strings.Contains(explained.Fix, "is full") {
			t.Errorf("err = %v, want the full disk named", err)
		}
	})

	t.Run("OfTheCacheLeavesNoPartialFile", func(t *testing.T) {
		t.Parallel()
		dir := smallDisk(t, "size=4m")
		m := newMirror(t, testKey, tgz(t, entry{name: "bin/mongod", body: bigScript(8 << 20)}))
		o := m.options(filepath.Join(dir, "cache"))
		_, err := Fetch(t.Context(), o)
		if !errors.Is(err, errCache) || !strings.Contains(err.Error(), "full") {
			t.Errorf("err = %v, want the full disk named", err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "cache", "*"))
		for _, f := range left {
			if !strings.HasSuffix(f, ".lock") {
				t.Errorf("left behind: %s", f)
			}
		}
	})
}

// smallDisk mounts a file system of its own for the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, size); err != nil {
		t.Skip("cannot mount a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// holds says whether a process has a file open.
func holds(t *testing.T, pid int, file string) bool {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("no open files of process %d: %v", pid, err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == file {
			return true
		}
	}
	return false
}

// group returns a process's group.
func group(t *testing.T, pid int) int {
	t.Helper()
	g, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
