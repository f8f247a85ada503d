package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Exit codes of mongod.
const (
	exitPortTaken = 48
	exitDBPath    = 100
)

// errorLines is how many lines of a log an error carries.
const errorLines = 20

// tail returns the last n lines of mongod's log.
func (l layout) tail(n int) []string {
	const most = 4 << 20
	f, err := os.Open(l.log())
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read
	if fi, err := f.Stat(); err == nil && fi.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	text := strings.TrimRight(string(b), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// logLine is one record of mongod's JSON log.
type logLine struct {
	Severity string          `json:"s"`
	Message  string          `json:"msg"`
	Attr     json.RawMessage `json:"attr"`
}

// complaints returns the last warnings and errors of a log, readable; lines
// that are not JSON (the loader's, a crash's) count as errors.
func complaints(lines []string) []string {
	var out []string
	for _, line := range lines {
		var rec logLine
		switch err := json.Unmarshal([]byte(line), &rec); {
		case err != nil:
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		case rec.Severity == "W" || rec.Severity == "E" || rec.Severity == "F":
			out = append(out, strings.TrimSpace(rec.Severity+" "+rec.Message+" "+string(rec.Attr)))
		}
	}
	return out[max(0, len(out)-errorLines):]
}

// exitError describes how the last mongod ended.
func (s *Server) exitError() error {
	e := &ExitError{Code: -1}
	if err := readJSON(s.dir.exit(), e); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	all := s.dir.tail(2000)
	e.Lines = complaints(all)
	text := strings.Join(all, "\n")
	if err := missingLibrary(s.spec.Binary, text); err != nil {
		return err
	}
	why := e.Error()
	if len(e.Lines) > 0 {
		why += "; its last warnings and errors:\n  " + strings.Join(e.Lines, "\n  ")
	}
	return &Error{What: "mongod exited before it was ready", Why: why, Fix: e.fix(s.spec.Port, s.dir, text), Err: e}
}

// fix says what to do about an exit.
func (e *ExitError) fix(port int, l layout, text string) string {
	switch {
	case e.Code == exitPortTaken || strings.Contains(text, "Address already in use"):
		return fmt.Sprintf("another program listens on port %d: stop it, or choose another port", port)
	case strings.Contains(text, "No space left on device") || strings.Contains(text, "Available disk space below"):
		return "the disk of " + string(l) + " is full: free some space or use another directory"
	case e.Signal == "illegal instruction" || strings.Contains(text, "AVX"):
		return "this processor lacks the AVX instructions that MongoDB 5.0 and later need: use another machine, or name a server with MONGODB_URI"
	case strings.Contains(text, "DBPathInUse"):
		return "another mongod uses " + l.data() + ": stop it, or use another directory"
	case strings.Contains(text, "Permission denied") || strings.Contains(text, "Operation not permitted"):
		return "this user may not read or write all of " + string(l) + ": change its owner or use another directory"
	case strings.Contains(text, "Error parsing command line") || strings.Contains(text, "unrecognised option"):
		return "check Options.Args"
	case e.Code == exitDBPath || strings.Contains(text, "featureCompatibilityVersion"):
		return "the data in " + l.data() + " is of another MongoDB version or damaged: use that version, or another directory"
	case e.Signal == "killed":
		return "it was killed from outside; a machine out of memory does that"
	}
	return "see " + filepath.Join(string(l), "mongod.log")
}

// hint adds what is known about a process that could not even be started.
func hint(why string) string {
	switch {
	case strings.Contains(why, "permission denied"):
		return "make the file executable (chmod +x), and check that its disk is not mounted noexec"
	case strings.Contains(why, "no space left"):
		return "free some space on the disk"
	case strings.Contains(why, "exec format error"):
		return "the file is not a program for this machine: remove it and let another be fetched"
	}
	return "check the file and its directory"
}

// loaderError matches what the loaders of glibc, musl and macOS print.
var loaderError = regexp.MustCompile(`(?m)(?:error while loading shared libraries: |Error loading shared library |Library not loaded: )([^\s:]+)`)

// missingLibrary returns an error when the output is a loader's complaint.
func missingLibrary(binary, output string) error {
	m := loaderError.FindStringSubmatch(output)
	if m == nil {
		return nil
	}
	lib := m[1]
	fix := "install the package that has " + lib + ", or name another mongod with RIKKI_MONGOD"
	switch {
	case strings.HasPrefix(lib, "libcrypto.so.1.1"), strings.HasPrefix(lib, "libssl.so.1.1"):
		fix = "this mongod was built for OpenSSL 1.1; MongoDB 6.0.4 and later have builds for OpenSSL 3 (ubuntu2204): let Rikki fetch one, or name one with RIKKI_MONGOD"
	case strings.HasPrefix(lib, "libcrypto.so.3"), strings.HasPrefix(lib, "libssl.so.3"):
		fix = "install OpenSSL 3 (Debian, Ubuntu: libssl3), or name a mongod built for your system with RIKKI_MONGOD"
	case strings.HasPrefix(lib, "libcurl.so"):
		fix = "install libcurl (Debian, Ubuntu: libcurl4), or name another mongod with RIKKI_MONGOD"
	}
	return &Error{
		What: "cannot run " + binary,
		Why:  "this system has no " + lib + " (" + thisHost().Name + ")",
		Fix:  fix,
		Err:  ErrMissingLibrary,
	}
}
