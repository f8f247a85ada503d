package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

const privatePrefix = "rikki-mongod-"

// privateBase is the one directory under which all private servers of this
// user live, so that leftovers are found again.
func privateBase() (string, error) {
	base := filepath.Join(os.TempDir(), fmt.Sprintf("rikki-%d", os.Getuid()))
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", err
	}
	// The temporary directory is shared with other users, who may have been first.
	fi, err := os.Lstat(base)
	if err != nil {
		return "", err
	}
	if !fi.IsDir() || (runtime.GOOS != "windows" && fi.Mode().Perm()&0o077 != 0) {
		return "", &Error{
			What: "cannot use " + base + " for the embedded server",
			Why:  "it is not a directory that only this user can enter",
			Fix:  "remove it, or point TMPDIR at another directory",
			Err:  os.ErrPermission,
		}
	}
	return base, nil
}

// newPrivate makes a private directory and takes its users lock, after it has
// swept those whose owners are dead. All of it happens under one lock, so a
// directory that is being made is never taken for a leftover.
func newPrivate() (layout, *flock.Flock, error) {
	base, err := privateBase()
	if err != nil {
		return "", nil, err
	}
	var dead []leftover
	defer func() { _ = remove(dead) }() // after the guard is free again: it may be gigabytes
	guard := flock.New(filepath.Join(base, "sweep.lock"))
	if err := guard.Lock(); err != nil {
		return "", nil, err
	}
	defer guard.Close() //nolint:errcheck // nothing was written
	dead = leftovers(base)
	dir, err := os.MkdirTemp(base, privatePrefix)
	if err != nil {
		return "", nil, err
	}
	l := layout(dir)
	if err := l.make(); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	users := flock.New(l.usersLock())
	if ok, err := users.TryRLock(); err != nil || !ok {
		return "", nil, errors.Join(fmt.Errorf("lock %s", l.usersLock()), err, os.RemoveAll(dir))
	}
	return l, users, nil
}

// Sweep removes what private servers of dead processes have left, and returns
// how many it removed. [Start] does so by itself. Servers in use are not touched.
func Sweep() (int, error) {
	base, err := privateBase()
	if err != nil {
		return 0, err
	}
	guard := flock.New(filepath.Join(base, "sweep.lock"))
	if err := guard.Lock(); err != nil {
		return 0, err
	}
	dead := leftovers(base)
	_ = guard.Close()
	return len(dead), remove(dead)
}

// leftover is a directory nobody uses, with the locks that keep it so.
type leftover struct {
	dir            layout
	users, watcher *flock.Flock
}

// leftovers returns the private directories that nobody uses, locked.
func leftovers(base string) []leftover {
	dirs, err := filepath.Glob(filepath.Join(base, privatePrefix+"*"))
	if err != nil {
		return nil
	}
	var dead []leftover
	for _, d := range dirs {
		l := layout(d)
		x := leftover{dir: l, users: flock.New(l.usersLock()), watcher: flock.New(l.watcherLock())}
		if ok, err := x.users.TryLock(); err != nil || !ok {
			continue
		}
		// A watcher that is still there cleans up by itself.
		if ok, err := x.watcher.TryLock(); err != nil || !ok {
			_ = x.users.Close()
			continue
		}
		dead = append(dead, x)
	}
	return dead
}

func remove(dead []leftover) error {
	var errs []error
	for _, x := range dead {
		if r, err := x.dir.record(); err == nil {
			if p := r.process(); p != nil { // only where the kernel does not end it with its watcher
				_ = p.Kill()
				_ = p.Release()
			}
		}
		errs = append(errs, discard(x.dir, x.users, x.watcher))
	}
	return errors.Join(errs...)
}

// discard removes a private directory whose locks the caller holds.
func discard(l layout, locks ...*flock.Flock) error {
	if runtime.GOOS == "windows" { // open files cannot be removed there
		for _, f := range locks {
			_ = f.Close()
		}
	}
	err := os.RemoveAll(string(l))
	for _, f := range locks {
		_ = f.Close()
	}
	return err
}
