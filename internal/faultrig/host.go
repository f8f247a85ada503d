//go:build linux

package faultrig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rikki-go/rikki/embedded"
)

// SmallDisk is a directory for a [Host] whose data is on a file system of its own, of so many MiB. The test is skipped where mounting
// one isn't allowed; it takes root.
func SmallDisk(t testing.TB, mib int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	data := filepath.Join(dir, "data") // the log is elsewhere, so that it can tell
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	switch err := syscall.Mount("rikki-faults", data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		t.Skip("a small disk takes the right to mount one (root): ", err)
	case err != nil:
		t.Fatal("mount a small disk:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error("unmount the small disk:", err)
		}
	})
	return dir
}

// FillDisk takes what is left of a [SmallDisk], and returns a way to give it back.
func FillDisk(t testing.TB, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "data", "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // what is in it doesn't matter
	block := make([]byte, 1<<16)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal("fill the disk:", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal("give the disk's space back:", err)
		}
	}
}

// FakeTime is the environment of a [Host] whose clock is off, as in "+1h". The test is skipped where libfaketime isn't installed.
func FakeTime(t testing.TB, offset string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(found) == 0 {
		t.Skip("a clock that is off takes the package libfaketime")
	}
	return fmt.Sprintf("LD_PRELOAD=%s FAKETIME=%s DONT_FAKE_MONOTONIC=1", found[0], offset)
}

// wrapper writes a program that runs mongod with more in its environment.
func wrapper(ctx context.Context, host Host) (string, error) {
	mongod, err := embedded.Locate(ctx, nil)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(host.Dir, "wrapper")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "mongod")
	script := fmt.Sprintf("#!/bin/sh\nexec env %s %s \"$@\"\n", host.Env, mongod.Path)
	return name, os.WriteFile(name, []byte(script), 0o700) //nolint:gosec // it is to be run
}
