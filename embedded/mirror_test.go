//go:build unix

package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testKey is the archive that a test's machine asks for.
const testKey = "mongodb-linux-x86_64-ubuntu2204-6.0.23"

// testHost has exactly one build, and no wheel: its processor is not amd64's name.
func testHost() *host {
	return &host{OS: "linux", Arch: "amd64", Name: "Test OS", OpenSSL: 3}
}

// mirror is a loopback server with one archive and its checksum.
type mirror struct {
	*httptest.Server
	key      string
	archive  []byte
	sum      string
	archives atomic.Int32 // requests for the archive
	// serve replaces how the archive is served.
	serve func(w http.ResponseWriter, r *http.Request)
}

func newMirror(t *testing.T, key string, archive []byte) *mirror {
	t.Helper()
	m := &mirror{key: key, archive: archive, sum: sumOf(archive)}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/linux/" + m.key + ".tgz":
		m.archives.Add(1)
		if m.serve != nil {
			m.serve(w, r)
			return
		}
		m.whole(w, r)
	case "/linux/" + m.key + ".tgz.sha256":
		_, _ = fmt.Fprintf(w, "%s  %s.tgz\n", m.sum, m.key)
	default:
		http.NotFound(w, r)
	}
}

func (m *mirror) whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.archive))
}

// options fetch from the mirror only.
func (m *mirror) options(cache string) *Options {
	return &Options{CacheDir: cache, Mirror: m.URL, seams: seams{host: testHost(), pips: [][]string{}}}
}

func (m *mirror) role(cache string) role {
	return role{Do: "fetch", CacheDir: cache, Mirror: m.URL, Host: testHost()}
}

func sumOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

type entry struct {
	name string
	body []byte
	kind byte
}

func tgz(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o755, Size: int64(len(e.body))}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			h.Linkname = "/etc/passwd"
		}
		_, err := error(nil), w.WriteHeader(h)
		if err == nil {
			_, err = w.Write(e.body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// good is an honest archive; its mongod only knows its version.
func good(t testing.TB) []byte {
	return tgz(t, entry{name: testKey + "/LICENSE", body: []byte("SSPL")},
		entry{name: testKey + "/bin/mongod", body: bigScript(300 << 10)},
		entry{name: testKey + "/bin/mongos", body: []byte("x")})
}

// bigScript is a mongod of some size that does not compress.
func bigScript(size int) []byte {
	noise := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = 'a' + byte(r.IntN(26))
	}
	return append(script("exit 1\n# "), noise...)
}

func mustFetch(t *testing.T, o *Options) Binary {
	t.Helper()
	b, err := Fetch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mustBeEmpty wants no mongod in the cache, nor a partial or temporary file.
func mustBeEmpty(t *testing.T, cache string) {
	t.Helper()
	err := filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".lock") {
			t.Errorf("left in the cache: %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func damage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("!")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// seal takes the right to write from a directory until the test ends.
func seal(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
}
