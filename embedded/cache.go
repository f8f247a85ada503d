package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// slot is one binary's place in the cache:
//
//	CACHE/KEY/mongod          the binary
//	CACHE/KEY/mongod.sha256   its checksum
//	CACHE/KEY.lock            exclusive while somebody fetches
//	CACHE/KEY.partial         an archive half downloaded
//	CACHE/KEY.tmp/            work in progress
type slot struct {
	cache, key string
	// want is the binary's checksum when it is compiled in.
	want string
}

func (s slot) in(suffix string) string { return filepath.Join(s.cache, s.key+suffix) }
func (s slot) dir() string             { return s.in("") }
func (s slot) lock() string            { return s.in(".lock") }
func (s slot) partial() string         { return s.in(".partial") }
func (s slot) tmp() string             { return s.in(".tmp") }
func (s slot) binary() string          { return filepath.Join(s.dir(), mongodName()) }

// check hashes the cached binary. It returns fs.ErrNotExist when there is none.
func (s slot) check() error {
	want := s.want
	if want == "" {
		b, err := os.ReadFile(s.binary() + ".sha256")
		if err != nil {
			return err
		}
		want = strings.TrimSpace(string(b))
	}
	return verify(s.binary(), want)
}

// install puts an unpacked binary into its place: directory and checksum
// appear together, by one rename. The caller holds the lock.
func (s slot) install(bin string) error {
	sum, err := hashFile(bin)
	if err != nil {
		return err
	}
	stage := filepath.Join(s.tmp(), "stage")
	if err := os.Mkdir(stage, 0o700); err != nil {
		return err
	}
	if err := os.Rename(bin, filepath.Join(stage, mongodName())); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(stage, mongodName()+".sha256"), []byte(sum+"\n")); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir()); err != nil { // one that failed its check
		return err
	}
	if err := os.Rename(stage, s.dir()); err != nil {
		return err
	}
	return syncDir(s.cache)
}

// recheck hashes a binary once more if it is from a cache, where its checksum
// lies beside it.
func recheck(binary string) error {
	b, err := os.ReadFile(binary + ".sha256")
	if err != nil {
		return nil //nolint:nilerr // the user's own
	}
	return verify(binary, strings.TrimSpace(string(b)))
}

// syncDir makes a rename last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // not every file system can
	return d.Close()
}

// verify hashes a file.
func verify(path, want string) error {
	got, err := hashFile(path)
	if err != nil {
		return err
	}
	if strings.EqualFold(got, want) {
		return nil
	}
	return &Error{
		What: "refused to use " + path,
		Why:  "its SHA-256 is " + got + ", not " + want,
		Fix:  "remove the file and let it be fetched again; if that does not help, something between here and the source alters it",
		Err:  ErrChecksum,
	}
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(h, f, make([]byte, 1<<20))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
