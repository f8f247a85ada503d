package embedded

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
)

// maxBinary bounds what is unpacked. A mongod is some 200 MB.
const maxBinary = 1 << 30

// install unpacks the mongod of an archive into the slot: verified first,
// then moved into place as a whole.
func (s slot) install(_ context.Context, archive, tmp string) error {
	bin := filepath.Join(tmp, filepath.Base(s.binary()))
	if err := unzip(archive, bin); err != nil {
		return err
	}
	if s.want != "" {
		if err := verify(bin, s.want); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return os.Rename(bin, s.binary())
}

func unzip(archive, to string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close() //nolint:errcheck // only read
	for _, f := range z.File {
		if path.Base(f.Name) != "mongod"+exeSuffix() || !f.Mode().IsRegular() {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return err
		}
		return errors.Join(extract(in, to), in.Close())
	}
	return fmt.Errorf("%s holds no mongod", filepath.Base(archive))
}

// extract writes one file, synced to disk.
func extract(in io.Reader, to string) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // a program
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, maxBinary+1))
	if err == nil && n > maxBinary {
		err = errors.New("the archive's mongod is larger than 1 GiB")
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
