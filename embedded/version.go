package embedded

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// parseVersion reads "6.0.5" and also "7.0.0-rc1" as three numbers.
func parseVersion(s string) ([]int, error) {
	s, _, _ = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is not a version", s)
	}
	v := make([]int, 3)
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is not a version", s)
		}
		v[i] = int(n)
	}
	return v, nil
}

var versionLine = regexp.MustCompile(`(?m)^db version v(\S+)`)

// probe runs "mongod --version". It proves that the loader finds all libraries
// and that the file is a mongod that Rikki supports.
func probe(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var out []byte
	err := retryBusy(ctx, func() (err error) {
		cmd := exec.CommandContext(ctx, path, "--version") //nolint:gosec // what the user named, or a verified file
		cmd.WaitDelay = time.Second
		out, err = cmd.CombinedOutput()
		return err
	})
	if lost := missingLibrary(path, string(out)); err != nil && lost != nil {
		return "", lost
	}
	if err != nil {
		why := err.Error()
		if text := strings.TrimSpace(string(out)); text != "" {
			why += ": " + firstLine(text)
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && strings.Contains(err.Error(), "illegal instruction") {
			why += " (this processor lacks AVX, which MongoDB 5.0 and later need)"
		}
		return "", &Error{What: "cannot run " + path, Why: why, Fix: hint(why), Err: errors.Join(ErrNoBinary, err)}
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return "", &Error{
			What: path + " is not a mongod", Why: "its --version says " + strconv.Quote(firstLine(string(out))),
			Fix: "name the mongod binary itself", Err: ErrNoBinary,
		}
	}
	version := string(m[1])
	v, err := parseVersion(version)
	if err != nil {
		return "", &Error{What: path + " has an unknown version", Why: err.Error(), Fix: "use MongoDB " + MinVersion + " or later", Err: ErrNoBinary}
	}
	if least, _ := parseVersion(MinVersion); slices.Compare(v, least) < 0 {
		return "", &Error{
			What: path + " is too old", Why: "it is MongoDB " + version,
			Fix: "use MongoDB " + MinVersion + " or later, or let Rikki fetch one", Err: ErrTooOld,
		}
	}
	return version, nil
}

// retryBusy runs a program that was just written. A process that another
// goroutine forked meanwhile may hold the file open for a moment, until it
// executes its own program, and the kernel runs no file that is open for writing.
func retryBusy(ctx context.Context, run func() error) error {
	const most = 2 * time.Second
	begun := time.Now()
	for {
		err := run()
		if !errors.Is(err, syscall.ETXTBSY) || time.Since(begun) > most || pause(ctx, lockPoll) != nil {
			return err
		}
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
