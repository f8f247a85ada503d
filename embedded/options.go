package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// MinVersion is the oldest MongoDB that Rikki supports.
const MinVersion = "6.0.0"

// Options say which mongod to run and where. A nil *Options is valid: a
// private, empty server that disappears with the last byte of its data at Stop.
type Options struct {
	// Dir is where the server keeps its data. Processes that name the same Dir
	// share one server, and its data survives them. Empty means a private
	// directory under the system's temporary one, removed at Stop.
	Dir string

	// Binary is the mongod to run. Empty means: look for one, see [Locate].
	Binary string
	// Version is the MongoDB version to fetch when none is found. Default [DefaultVersion].
	Version string
	// Target names the build to fetch on Linux, e.g. "ubuntu2204" or "rhel90".
	// Default: the variable RIKKI_MONGOD_TARGET, else what fits this system.
	Target string
	// CacheDir holds fetched binaries. Default "rikki/mongod" in the user's cache directory.
	CacheDir string
	// Mirror is the base URL to fetch official archives from. Default: the
	// variable RIKKI_MONGOD_MIRROR, else MongoDB's own download host.
	Mirror string
	// Offline forbids every download.
	Offline bool
	// DownloadTimeout bounds a whole download. Default 15 minutes. A host that
	// cannot be reached is noticed after seconds, whatever this says.
	DownloadTimeout time.Duration
	// Progress is told how far a download is. It is called on the caller's goroutine.
	Progress func(Progress)

	// Standalone runs a plain server: no replica set, hence no transactions and
	// no change streams. Nothing is sent to it before Start returns, so it may
	// demand TLS or a login.
	Standalone bool
	// Port is the TCP port on 127.0.0.1. Zero picks a free one, the same again
	// for the same Dir as long as it is free, and never 27017.
	Port int
	// Args are further arguments of mongod, e.g. "--setParameter", "enableTestCommands=1".
	// They have no effect for a process that joins a server already running.
	Args []string
	// StartTimeout bounds the time from mongod's start to its first write. It
	// does not count downloads. Default 60 seconds.
	StartTimeout time.Duration

	// Log is told what happens, at debug level but for what the user must know. Nil discards.
	Log *slog.Logger

	seams seams
}

// Progress is the state of a download.
type Progress struct {
	// Name is the file being fetched.
	Name string
	// Done and Total count bytes. Total is 0 while it is unknown.
	Done, Total int64
}

// withDefaults returns a copy with every zero value replaced.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Version == "" {
		c.Version = DefaultVersion
	}
	if c.Mirror == "" {
		c.Mirror = os.Getenv("RIKKI_MONGOD_MIRROR")
	}
	if c.Mirror == "" {
		c.Mirror = officialMirror
	}
	if c.Target == "" {
		c.Target = os.Getenv("RIKKI_MONGOD_TARGET")
	}
	if c.DownloadTimeout == 0 {
		c.DownloadTimeout = 15 * time.Minute
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			// No home (a container, a service account): still one place per user.
			dir = filepath.Join(os.TempDir(), fmt.Sprintf("rikki-%d", os.Getuid()))
		}
		c.CacheDir = filepath.Join(dir, "rikki", "mongod")
	}
	return c, c.validate()
}

// validate reports every problem at once.
func (o *Options) validate() error {
	var errs []error
	if o.DownloadTimeout < 0 {
		errs = append(errs, errors.New("DownloadTimeout is negative"))
	}
	if o.StartTimeout < 0 {
		errs = append(errs, errors.New("StartTimeout is negative"))
	}
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d is not a TCP port", o.Port))
	}
	if _, err := parseVersion(o.Version); err != nil {
		errs = append(errs, fmt.Errorf("version %q is not of the form 6.0.5", o.Version))
	}
	if len(errs) == 0 {
		return nil
	}
	return &Error{What: "invalid options for the embedded server", Why: errors.Join(errs...).Error(), Err: errors.Join(errs...)}
}
