package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Lab is where programs are built and run.
type Lab struct {
	Dir  string    // for programs and npm packages
	URI  string    // of the mongod that everybody works on, with a database
	News io.Writer // what is being done
	Env  []string  // what our own contestants are told beside

	launch string // the program that starts the others
}

// Open makes the directory, and builds the program that starts the others.
func Open(ctx context.Context, dir, uri string, news io.Writer) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, URI: uri, News: news}
	l.launch, err = l.GoBuild(ctx, "launch")
	return l, err
}

// Sample is what one turn of a program took.
type Sample struct {
	Wall   time.Duration `json:"wall"`
	CPU    time.Duration `json:"cpu"`
	RSS    int64         `json:"rss"` // peak, bytes
	Output string        `json:"output,omitempty"`
	Error  string        `json:"error,omitempty"`

	Docs   int      `json:"docs,omitempty"` // what was done, if it is counted
	Server Counters `json:"server,omitzero"`
}

// WallMS and CPUMS are in milliseconds, MiB is the peak memory, Rate in documents a second.
func WallMS(s Sample) float64 { return float64(s.Wall) / float64(time.Millisecond) }

// CPUMS is the processor time in milliseconds.
func CPUMS(s Sample) float64 { return float64(s.CPU) / float64(time.Millisecond) }

// MiB is the peak memory.
func MiB(s Sample) float64 { return float64(s.RSS) / (1 << 20) }

// Rate is in documents a second.
func Rate(s Sample) float64 { return float64(s.Docs) / s.Wall.Seconds() }

// Run runs a program to its end, in a directory, for at most limit. A program that fails is an error.
func (l *Lab) Run(ctx context.Context, limit time.Duration, dir string, argv ...string) (Sample, error) {
	out, err := l.Output(ctx, limit, dir, append([]string{l.launch}, argv...)...)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fmt.Errorf("launch printed %q: %w", out, err)
	}
	if s.Error != "" {
		return s, fmt.Errorf("it failed: %s\n%s", s.Error, s.Output)
	}
	return s, nil
}

// Output runs a program without the one that measures it, and returns what it prints. The error of one that fails says what it printed
// to stderr.
func (l *Lab) Output(ctx context.Context, limit time.Duration, dir string, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := l.Command(ctx, dir, argv...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return out, nil
}

// Command is a program that has yet to be started.
func (l *Lab) Command(ctx context.Context, dir string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the contestants are our own
	cmd.Env = l.environment()
	cmd.Dir = dir // a .env file of other directories must not matter
	return cmd
}

// Profiles is the variable that names a directory for profiles of our own contestants.
const Profiles = "BENCH_PROFILES"

// environment is what the programs see: the same for all, and nothing that changes how they work.
func (l *Lab) environment() []string {
	env := append([]string{"MONGODB_URI=" + l.URI}, l.Env...)
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SYSTEMROOT"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Turns lets n contestants take their turns. Each round begins with another one, so that nobody always comes after the slowest.
func Turns(rounds, n int, turn func(round, contestant int) error) error {
	for round := range rounds {
		for i := range n {
			if err := turn(round, (round+i)%n); err != nil {
				return err
			}
		}
	}
	return nil
}
