package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/term"
)

// protectedVariable adds to [App.Protected].
const protectedVariable = globalPrefix + "PROTECTED"

// mayChange asks before a person changes a protected database: its name has to be typed, or given with --confirm. It is
// no matter of --yes, which scripts and shell aliases carry along everywhere.
func (s *session) mayChange(ctx context.Context, dry bool) error {
	p := s.p
	patterns, err := p.protected()
	if err != nil || dry || len(patterns) == 0 || s.target.embedded {
		return err
	}
	var pattern, where string
	err = s.runs.Conn().With(ctx, func(context.Context, *conn.Ref) error { // the address alone doesn't say which replica set that is
		pattern, where = protects(patterns, s.runs.Conn().Status()), s.where()
		return nil
	})
	name := s.runs.Conn().Database()
	if err != nil || pattern == "" || p.flags.Confirm == name {
		return err
	}
	why := fmt.Sprintf("%s is protected (%s)", where, pattern)
	fix := "say --confirm=" + name + ", or --dry-run to see what would be done"
	if p.flags.Confirm != "" {
		return &problemError{What: "nothing was done: --confirm names " + quote(p.flags.Confirm) + ", not the database", Why: why, Fix: fix, Code: ExitUsage}
	}
	yes, err := p.term.ConfirmName(ctx, "This changes "+where+", which is protected.", name)
	switch {
	case errors.Is(err, term.ErrNoInput):
		return &problemError{What: "nothing was done: nobody has confirmed it", Why: why, Fix: fix, Code: ExitNoInput, Err: err}
	case err != nil:
		return err
	case !yes:
		return &problemError{What: "nothing was done: that is not the name of the database", Why: why, Code: ExitCancelled}
	}
	return nil
}

// prepare is what comes before a script runs here: a question where the database is protected, sample data where it is embedded.
func (s *session) prepare(ctx context.Context, dry bool) error {
	if err := s.mayChange(ctx, dry); err != nil {
		return err
	}
	return s.seed(ctx)
}

// protected are the patterns of the program and of the environment.
func (p *program) protected() ([]string, error) {
	patterns := slices.Clone(p.app.Protected)
	for pattern := range strings.SplitSeq(p.env.Get(protectedVariable), ",") {
		if pattern = strings.TrimSpace(pattern); pattern != "" {
			patterns = append(patterns, pattern)
		}
	}
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, &problemError{
				What: "the pattern " + quote(pattern) + " of protected databases can't be read", Why: err.Error(), Code: ExitUsage,
				Fix: "correct " + protectedVariable + " or App.Protected: names with * and ?, as in *prod*", Err: err,
			}
		}
	}
	return patterns, nil
}

// protects finds the pattern that a database, its replica set or one of its hosts matches, or "".
func protects(patterns []string, st conn.Status) string {
	names := []string{st.Database, st.ReplicaSet}
	for _, address := range st.Hosts {
		names = append(names, address)
		if host, _, err := net.SplitHostPort(address); err == nil {
			names = append(names, host)
		}
	}
	for _, pattern := range patterns {
		for _, name := range names {
			if ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(name)); ok && name != "" {
				return pattern
			}
		}
	}
	return ""
}
