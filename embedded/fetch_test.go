//go:build unix

package embedded

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFetch(t *testing.T) {
	t.Parallel()

	t.Run("InstallsAVerifiedArchiveOnce", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		o := m.options(t.TempDir())
		var last Progress
		o.Progress = func(p Progress) { last = p }
		b := mustFetch(t, o)
		want := Binary{Path: filepath.Join(o.CacheDir, testKey, "mongod"), Source: SourceArchive, Version: DefaultVersion}
		if b != want {
			t.Errorf("got %+v, want %+v", b, want)
		}
		if last.Done != int64(len(m.archive)) || last.Total != last.Done || last.Name != testKey+".tgz" {
			t.Errorf("last progress %+v, want %d bytes", last, len(m.archive))
		}
		if again := mustFetch(t, o); again.Source != SourceCache || again.Path != b.Path {
			t.Errorf("second fetch: %+v, want the cached one", again)
		}
		if n := m.archives.Load(); n != 1 {
			t.Errorf("%d downloads, want 1", n)
		}
	})

	t.Run("RefusesAWrongChecksumAndKeepsNothing", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		m.sum = strings.Repeat("0", 64)
		o := m.options(t.TempDir())
		if _, err := Fetch(t.Context(), o); !errors.Is(err, ErrChecksum) {
			t.Errorf("err = %v, want ErrChecksum", err)
		}
		mustBeEmpty(t, o.CacheDir)
	})

	t.Run("PrefersTheChecksumCompiledIn", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t)) // its own .sha256 agrees with what it serves
		o := m.options(t.TempDir())
		o.seams.sums = map[string]string{testKey: strings.Repeat("1", 64)}
		if _, err := Fetch(t.Context(), o); !errors.Is(err, ErrChecksum) {
			t.Errorf("err = %v, want ErrChecksum", err)
		}
	})

	t.Run("ResumesATruncatedDownload", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		var ranges []string
		m.serve = func(w http.ResponseWriter, r *http.Request) {
			ranges = append(ranges, r.Header.Get("Range"))
			if len(ranges) == 1 {
				w.Header().Set("Content-Length", strconv.Itoa(len(m.archive)))
				_, _ = w.Write(m.archive[:1000])
				return // the server cuts the connection: too few bytes
			}
			m.whole(w, r)
		}
		mustFetch(t, m.options(t.TempDir()))
		if len(ranges) != 2 || ranges[0] != "" || ranges[1] != "bytes=1000-" {
			t.Errorf("ranges = %q, want the rest to be asked for", ranges)
		}
	})

	t.Run("GivesUpOnAnArchiveThatIsAlwaysTruncated", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		m.serve = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(m.archive)))
			_, _ = w.Write(m.archive[:1000])
		}
		o := m.options(t.TempDir())
		if _, err := Fetch(t.Context(), o); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrNoBinary) {
			t.Errorf("err = %v, want an unexpected end", err)
		}
		if _, err := os.Stat(filepath.Join(o.CacheDir, testKey)); !errors.Is(err, fs.ErrNotExist) {
			t.Error("an incomplete archive was installed")
		}
	})

	t.Run("StartsAgainWhenWhatWasLeftIsOfAnotherFile", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		for _, left := range [][]byte{[]byte("of another file"), make([]byte, len(m.archive)+10)} {
			o := m.options(t.TempDir())
			if err := os.WriteFile(filepath.Join(o.CacheDir, testKey+".partial"), left, 0o600); err != nil {
				t.Fatal(err)
			}
			mustFetch(t, o)
		}
	})

	t.Run("SaysWhereToGetWhatIsNotFound", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, "another-build", nil)
		o := m.options(t.TempDir())
		_, err := Fetch(t.Context(), o)
		if !errors.Is(err, ErrNoBinary) || !errors.Is(err, errNotFound) {
			t.Fatalf("err = %v, want ErrNoBinary", err)
		}
		if want := m.URL + "/linux/" + testKey + ".tgz"; !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want it to name %s", err, want)
		}
		mustBeEmpty(t, o.CacheDir)
	})

	t.Run("TakesTheNextBuildWhenOneIsMissing", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, "mongodb-linux-x86_64-rhel90-"+DefaultVersion, good(t))
		if b := mustFetch(t, m.options(t.TempDir())); !strings.Contains(b.Path, "rhel90") {
			t.Errorf("got %s, want the rhel90 build", b.Path)
		}
	})

	t.Run("PassesOverASlowServerOnlyWhenItStandsStill", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		release := make(chan struct{})
		defer close(release)
		m.serve = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(m.archive)))
			_, _ = w.Write(m.archive[:1000])
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		o := m.options(t.TempDir())
		o.seams.stall = 100 * time.Millisecond
		if _, err := Fetch(t.Context(), o); !errors.Is(err, errStalled) {
			t.Errorf("err = %v, want errStalled", err)
		}
		// In small pieces, each in time even on a busy machine, the whole takes longer than one may.
		o.seams.stall = 2 * time.Second
		m.serve = func(w http.ResponseWriter, _ *http.Request) {
			for rest := m.archive; len(rest) > 0; {
				n := min(len(rest), len(m.archive)/20+1)
				_, _ = w.Write(rest[:n])
				_ = http.NewResponseController(w).Flush()
				rest = rest[n:]
				<-time.After(150 * time.Millisecond)
			}
		}
		mustFetch(t, o)
	})

	t.Run("EndsWithItsContext", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		ctx, cancel := context.WithCancel(t.Context())
		m.serve = func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}
		if _, err := Fetch(ctx, m.options(t.TempDir())); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v, want context.Canceled", err)
		}
	})

	t.Run("RefusesToLeaveHTTPS", func(t *testing.T) {
		t.Parallel()
		plain := newMirror(t, testKey, good(t))
		safe := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/linux/"+testKey+".tgz", http.StatusFound))
		defer safe.Close()
		o := plain.options(t.TempDir())
		o.Mirror = safe.URL
		o.seams.transport = safe.Client().Transport
		if _, err := Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), "refused to follow a redirect") {
			t.Errorf("err = %v, want a refusal", err)
		}
		if n := plain.archives.Load(); n != 0 {
			t.Errorf("%d requests went over http", n)
		}
		o.Mirror = "http://mirror.example"
		if _, err := Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), "only https is safe") {
			t.Errorf("err = %v, want a refusal", err)
		}
	})

	t.Run("RefusesArchivesWithBadEntries", func(t *testing.T) {
		t.Parallel()
		honest := entry{name: "d/bin/mongod", body: script("exit 1")}
		for _, bad := range []entry{
			{name: "../../evil", body: []byte("x")},
			{name: "d/../../bin/mongod", body: []byte("x")},
			{name: "/etc/evil", body: []byte("x")},
			{name: `..\evil`, body: []byte("x")},
			{name: `C:\evil`, body: []byte("x")},
			{name: "d/bin/mongod", kind: tar.TypeSymlink},
			{name: "d/bin/mongod", kind: tar.TypeLink},
			{name: "d/null", kind: tar.TypeChar},
			{name: "d/pipe", kind: tar.TypeFifo},
		} {
			for _, order := range [][]entry{{bad, honest}, {honest, bad}} {
				m := newMirror(t, testKey, tgz(t, order...))
				o := m.options(t.TempDir())
				if _, err := Fetch(t.Context(), o); !errors.Is(err, errRefused) {
					t.Errorf("%q: err = %v, want a refusal", bad.name, err)
				}
				if _, err := os.Stat(filepath.Join(o.CacheDir, testKey)); err == nil {
					t.Errorf("%q: installed", bad.name)
				}
			}
		}
	})

	t.Run("DoesNotInstallWhatDoesNotRunHere", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, tgz(t, entry{name: "bin/mongod", body: []byte("#!/bin/sh\necho 'mongod: error while loading shared libraries: libssl.so.3: no' >&2\nexit 127\n")}))
		o := m.options(t.TempDir())
		if _, err := Fetch(t.Context(), o); !errors.Is(err, ErrMissingLibrary) || !strings.Contains(err.Error(), "libssl.so.3") {
			t.Errorf("err = %v, want the library", err)
		}
		if _, err := os.Stat(filepath.Join(o.CacheDir, testKey)); err == nil {
			t.Error("installed all the same")
		}
	})

	t.Run("ReplacesADamagedBinary", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		o := m.options(t.TempDir())
		b := mustFetch(t, o)
		damage(t, b.Path)
		if again := mustFetch(t, o); again.Source != SourceArchive || m.archives.Load() != 2 {
			t.Errorf("got %+v after %d downloads, want a fresh one", again, m.archives.Load())
		}
		damage(t, b.Path)
		o.Offline = true
		if _, err := Fetch(t.Context(), o); !errors.Is(err, ErrChecksum) || !errors.Is(err, ErrOffline) {
			t.Errorf("offline: err = %v, want ErrChecksum and ErrOffline", err)
		}
	})

	t.Run("SaysOfflineWhatToPutWhereAndUsesIt", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		o := m.options(t.TempDir())
		o.Offline = true
		_, err := Fetch(t.Context(), o)
		for _, want := range []string{m.URL + "/linux/" + testKey + ".tgz", o.CacheDir} {
			if !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), want) {
				t.Errorf("err = %v, want ErrOffline that names %s", err, want)
			}
		}
		hand := filepath.Join(o.CacheDir, testKey+".tgz")
		if err := errors.Join(os.WriteFile(hand, m.archive, 0o600), os.WriteFile(hand+".sha256", []byte(m.sum), 0o600)); err != nil {
			t.Fatal(err)
		}
		if b := mustFetch(t, o); b.Source != SourceArchive {
			t.Errorf("got %+v", b)
		}
		if n := m.archives.Load(); n != 0 {
			t.Errorf("%d downloads while offline", n)
		}
	})

	t.Run("SaysWhenTheCacheCannotBeWritten", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, cache := range []string{filepath.Join(file, "cache"), "/proc/rikki"} {
			_, err := Fetch(t.Context(), m.options(cache))
			if !errors.Is(err, errCache) || !strings.Contains(err.Error(), "cannot use the cache directory") {
				t.Errorf("%s: err = %v, want the cache named", cache, err)
			}
		}
	})

	t.Run("ReadsACacheThatCannotBeWritten", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		o := m.options(t.TempDir())
		mustFetch(t, o)
		seal(t, o.CacheDir)
		if b := mustFetch(t, o); b.Source != SourceCache {
			t.Errorf("got %+v, want the cached one", b)
		}
	})
}
