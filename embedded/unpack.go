package embedded

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// maxBinary bounds what is unpacked. A mongod is some 200 MB.
const maxBinary = 1 << 30

// mongodName is the program's file name on this system.
func mongodName() string {
	if runtime.GOOS == "windows" {
		return "mongod.exe"
	}
	return "mongod"
}

// unpack writes the mongod of an archive to a new file. Nothing else is ever
// written, so no entry can reach another place; an archive that tries is
// refused all the same, for it is not what it claims to be.
func unpack(from, to string) error {
	var err error
	if strings.HasSuffix(from, ".tgz") {
		err = untar(from, to)
	} else {
		err = unzip(from, to)
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(from), err)
	}
	return nil
}

// errRefused means that an archive has entries which only an attacker would put there.
var errRefused = errors.New("refused")

// admit refuses entries that no honest archive of programs has.
func admit(name string, mode fs.FileMode) error {
	clean := strings.ReplaceAll(name, `\`, "/")
	if path.IsAbs(clean) || strings.Contains(clean, ":") {
		return fmt.Errorf("%w: entry %q has an absolute path", errRefused, name)
	}
	for part := range strings.SplitSeq(clean, "/") {
		if part == ".." {
			return fmt.Errorf("%w: entry %q leaves the archive's directory", errRefused, name)
		}
	}
	if !mode.IsRegular() && !mode.IsDir() {
		return fmt.Errorf("%w: entry %q is a link or a device", errRefused, name)
	}
	return nil
}

func wanted(name string, mode fs.FileMode) bool {
	return mode.IsRegular() && path.Base(strings.ReplaceAll(name, `\`, "/")) == mongodName()
}

var errNoMongod = errors.New("it holds no mongod")

func unzip(from, to string) error {
	z, err := zip.OpenReader(from)
	if err != nil {
		return err
	}
	defer z.Close() //nolint:errcheck // only read
	var found *zip.File
	for _, f := range z.File {
		if err := admit(f.Name, f.Mode()); err != nil {
			return err
		}
		if wanted(f.Name, f.Mode()) && found == nil {
			found = f
		}
	}
	if found == nil {
		return errNoMongod
	}
	in, err := found.Open()
	if err != nil {
		return err
	}
	return errors.Join(extract(in, to), in.Close())
}

func untar(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	r := tar.NewReader(gz)
	found := false
	for { // to the very end: a bad entry may come last
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink { // a hard link looks like a regular file
			mode |= fs.ModeIrregular
		}
		if err := admit(h.Name, mode); err != nil {
			return err
		}
		if !found && wanted(h.Name, mode) {
			if err := extract(r, to); err != nil {
				return err
			}
			found = true
		}
	}
	if !found {
		return errNoMongod
	}
	return nil
}

// extract writes one program file, synced to disk.
func extract(in io.Reader, to string) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // a program
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, maxBinary+1))
	if err == nil && n > maxBinary {
		err = errors.New("its mongod is larger than 1 GiB")
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
