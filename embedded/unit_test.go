//go:build unix

package embedded

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArchives(t *testing.T) {
	t.Parallel()
	const six, eight = "6.0.23", "8.0.15"
	linux := func(arch string, openssl int, release string) host {
		h := host{OS: "linux", Arch: arch, OpenSSL: openssl}
		h.osRelease(release)
		return h
	}
	for _, c := range []struct {
		name    string
		host    host
		version string
		want    []string
	}{
		{"Ubuntu2204", linux("amd64", 3, "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n"), six, []string{"x86_64-ubuntu2204", "x86_64-rhel90"}},
		{"Ubuntu2404WithAnOldMongoDB", linux("amd64", 3, "ID=ubuntu\nVERSION_ID=\"24.04\"\n"), six, []string{"x86_64-ubuntu2204", "x86_64-rhel90"}},
		{"Ubuntu2604OfTheFuture", linux("arm64", 3, "ID=ubuntu\nVERSION_ID=\"26.04\"\n"), eight, []string{"aarch64-ubuntu2404", "aarch64-ubuntu2204", "aarch64-rhel90"}},
		{"Debian12", linux("amd64", 3, "ID=debian\nVERSION_ID=\"12\"\n"), eight, []string{"x86_64-debian12", "x86_64-ubuntu2204", "x86_64-rhel90"}},
		{"Debian11OnArm", linux("arm64", 1, "ID=debian\nVERSION_ID=\"11\"\n"), six, []string{"aarch64-ubuntu2004", "aarch64-rhel80"}},
		{"Rocky9", linux("amd64", 3, "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n"), six, []string{"x86_64-rhel90", "x86_64-ubuntu2204"}},
		{"MintByItsParent", linux("amd64", 3, "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"21.3\"\n"), six, []string{"x86_64-ubuntu2204", "x86_64-rhel90"}},
		{"ArchByItsOpenSSL", linux("amd64", 3, "ID=arch\n"), six, []string{"x86_64-ubuntu2204", "x86_64-rhel90"}},
		{"Amazon2023", linux("arm64", 3, "ID=amzn\nVERSION_ID=\"2023\"\n"), eight, []string{"aarch64-amazon2023", "aarch64-rhel90", "aarch64-ubuntu2204"}},
		{"AlpineHasNone", host{OS: "linux", Arch: "amd64", IDs: []string{"alpine"}, Musl: true}, six, nil},
		{"Mac", host{OS: "darwin", Arch: "arm64"}, six, []string{"macos-arm64"}},
		{"Windows", host{OS: "windows", Arch: "amd64"}, six, []string{"windows-x86_64"}},
		{"Plan9HasNone", host{OS: "plan9", Arch: "amd64"}, six, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range archives(c.host, c.version, "") {
				name := strings.TrimPrefix(strings.TrimPrefix(a.Key, "mongodb-"), "linux-")
				got = append(got, strings.TrimSuffix(name, "-"+c.version))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error("builds (-want +got):\n", diff)
			}
		})
	}

	t.Run("TakesWhatTheUserNames", func(t *testing.T) {
		t.Parallel()
		got := archives(linux("amd64", 3, "ID=arch\n"), six, "suse15")
		want := archive{Key: "mongodb-linux-x86_64-suse15-6.0.23", Path: "/linux/mongodb-linux-x86_64-suse15-6.0.23.tgz"}
		if len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestLogs(t *testing.T) {
	t.Parallel()

	t.Run("NameTheMissingLibraryOfEveryLoader", func(t *testing.T) {
		t.Parallel()
		for text, lib := range map[string]string{
			"m: error while loading shared libraries: libcurl.so.4: cannot open shared object file":     "libcurl.so.4",
			"Error loading shared library libstdc++.so.6: No such file or directory (needed by m)":      "libstdc++.so.6",
			"dyld[1]: Library not loaded: /usr/lib/libfoo.dylib\n  Referenced from: /x/mongod (no one)": "/usr/lib/libfoo.dylib",
		} {
			if err := missingLibrary("m", text); err == nil || !strings.Contains(err.Error(), "no "+lib+" ") {
				t.Errorf("%q: err = %v, want %s", text, err, lib)
			}
		}
		if err := missingLibrary("m", `{"s":"I","msg":"all is well"}`); err != nil {
			t.Errorf("a healthy log: %v", err)
		}
	})

	t.Run("LeadToAFix", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string]string{
			`"errmsg":"DBPathInUse: Unable to lock the lock file"`: "another mongod uses",
			"MongoDB 5.0+ requires a CPU with AVX support":         "AVX",
			`open: Permission denied`:                              "may not read or write",
			`Error parsing command line: unrecognised option --x`:  "Options.Args",
			`Invalid featureCompatibilityVersion document`:         "another MongoDB version",
			`something else`: "mongod.log",
		} {
			e := &ExitError{Code: 1}
			if got := e.fix(1, "/d", text); !strings.Contains(got, want) {
				t.Errorf("%s: fix = %q, want %q in it", text, got, want)
			}
		}
	})
}

func TestContentRange(t *testing.T) {
	t.Parallel()
	if got, err := contentRange("bytes 10-99/100"); err != nil || got != (span{10, 100}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "bytes", "bytes */100", "bytes 10-99/*", "bytes -5-9/10", "bytes 20-99/10", "items 1-2/3"} {
		if got, err := contentRange(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

// FuzzUnpack feeds the unpacker anything: it must not panic, and must write
// nothing but the one file it was told to.
func FuzzUnpack(f *testing.F) {
	script := []byte("#!/bin/sh\n")
	f.Add(tgz(f, entry{name: "bin/mongod", body: script}), true)
	f.Add(tgz(f, entry{name: "../mongod", body: script}), true)
	f.Add(tgz(f, entry{name: "mongod", kind: tar.TypeSymlink}), true)
	f.Add([]byte("PK\x03\x04"), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, tarball bool) {
		dir := t.TempDir()
		from := filepath.Join(dir, "in", "x.whl")
		if tarball {
			from = filepath.Join(dir, "in", "x.tgz")
		}
		if err := os.Mkdir(filepath.Dir(from), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(from, b, 0o600); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "out")
		err := unpack(from, to)
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, p := range left {
			if p != to && p != filepath.Dir(from) {
				t.Errorf("%s was written", p)
			}
		}
		if fi, serr := os.Lstat(to); err == nil && (serr != nil || !fi.Mode().IsRegular()) {
			t.Errorf("no error, but the file is %v, %v", fi, serr)
		}
	})
}

// TestLocateOrder changes the environment, so it runs alone.
func TestLocateOrder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, version string) string {
		path := filepath.Join(dir, name, "mongod")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'db version v"+version+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	option, env := write("option", "6.0.1"), write("env", "6.0.2")
	path, old := write("path", "6.0.3"), write("old", "5.0.9")
	find := func(o *Options) Binary {
		t.Helper()
		b, err := Locate(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Setenv("RIKKI_MONGOD", env)
	t.Setenv("PATH", filepath.Dir(path))
	steps := []struct {
		got  Binary
		want Binary
	}{
		{find(&Options{Binary: option}), Binary{option, SourceOption, "6.0.1"}},
		{find(nil), Binary{env, SourceEnv, "6.0.2"}},
	}
	t.Setenv("RIKKI_MONGOD", "")
	steps = append(steps, struct{ got, want Binary }{find(nil), Binary{path, SourcePath, "6.0.3"}})
	m := newMirror(t, testKey, good(t))
	t.Setenv("PATH", filepath.Dir(old)) // unfit: passed over
	fetched := filepath.Join(dir, "cache", testKey, "mongod")
	o := m.options(filepath.Join(dir, "cache"))
	steps = append(steps, struct{ got, want Binary }{find(o), Binary{fetched, SourceArchive, DefaultVersion}})
	steps = append(steps, struct{ got, want Binary }{find(o), Binary{fetched, SourceCache, DefaultVersion}})
	for i, s := range steps {
		if s.got != s.want {
			t.Errorf("step %d: got %+v, want %+v", i, s.got, s.want)
		}
	}
}
