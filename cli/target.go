package cli

import (
	"cmp"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/rikki-go/rikki/conn"
)

// target is where MongoDB is, and how that was found out.
type target struct {
	uri      string
	origin   string
	database string // in place of the URI's
	embedded bool
	dir      string // of the embedded server's data
}

// target decides where MongoDB is: --uri-file, App.Config, the environment, the .env file, and only then the embedded
// server or the default.
func (p *program) target() (target, error) {
	to := target{database: cmp.Or(p.flags.Database, p.app.Config.Conn.Database)}
	if err := p.givenURI(&to); err != nil {
		return to, err
	}
	if to.uri != "" && p.flags.Embedded {
		return to, &problemError{
			What: "--embedded and a URI from " + to.origin + " contradict each other", Code: ExitUsage,
			Why: "the embedded MongoDB is for when no URI is given",
			Fix: "leave --embedded out, or take the URI away: " + withoutURI(to.origin),
		}
	}
	if to.uri != "" {
		return to, nil
	}
	if !p.flags.Embedded && !p.app.Embedded {
		to.uri, to.origin = conn.DefaultURI, conn.OriginDefault
		return to, nil
	}
	return p.embeddedTarget(to)
}

// givenURI fills in the URI that somebody has given, if any.
func (p *program) givenURI(to *target) error {
	if p.flags.URIFile != "" {
		uri, err := readURIFile(p.flags.URIFile)
		to.uri, to.origin = uri, "--uri-file "+p.flags.URIFile
		return err
	}
	if uri := strings.TrimSpace(p.app.Config.Conn.URI); uri != "" {
		to.uri, to.origin = uri, cmp.Or(p.app.Config.Conn.Origin, "the program itself")
		return nil
	}
	for _, name := range uriVariables() {
		if uri, _ := p.env.lookup(name); strings.TrimSpace(uri) != "" {
			to.uri, to.origin = strings.TrimSpace(uri), name
			return nil
		}
	}
	for _, name := range uriVariables() {
		if uri := strings.TrimSpace(p.env.file[name]); uri != "" {
			to.uri, to.origin = uri, name+" in "+p.env.path
			return nil
		}
	}
	return nil
}

// embeddedTarget is the embedded server. A URI variable that is set but blank is most likely one that got lost on its
// way, and must not turn into an empty database.
func (p *program) embeddedTarget(to target) (target, error) {
	for _, name := range uriVariables() {
		if v, ok := p.env.Lookup(name); ok && strings.TrimSpace(v) == "" && !p.flags.Embedded {
			return to, &problemError{
				What: name + " is set, but it is blank", Code: ExitUnreachable,
				Why: "that looks like a URI that got lost; a new, empty database in its place could do harm",
				Fix: "set it to the URI of your MongoDB, unset it to use the embedded one, or say --embedded",
			}
		}
	}
	dir, err := p.embeddedDir()
	to.embedded, to.dir, to.origin = true, dir, "embedded"
	to.database = cmp.Or(to.database, databaseName(p.name))
	return to, err
}

func withoutURI(origin string) string {
	name, file, ok := strings.Cut(origin, " in ")
	switch {
	case strings.HasPrefix(origin, "--uri-file"):
		return "leave --uri-file out"
	case ok:
		return "delete the line " + name + " of " + file
	case isURIVariable(name):
		return "unset " + name
	}
	return "it is set in the program's code"
}

// readURIFile reads a URI from a file that nobody else can read.
func readURIFile(path string) (string, error) {
	fail := func(why, fix string, err error) error {
		return &problemError{What: "cannot take the URI from " + path, Why: why, Fix: fix, Code: ExitUnreachable, Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fail(reason(err), "check --uri-file: a file whose only line is the URI", err)
	}
	if !info.Mode().IsRegular() {
		return "", fail("it is not a file", "check --uri-file: a file whose only line is the URI", nil)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return "", fail("other users of this machine may read it", "chmod 600 "+path, nil)
	}
	const limit = 64 << 10 // no URI is that long; a wrong file may be
	if info.Size() > limit {
		return "", fail("it is too large for a URI", "name a file whose only line is the URI", nil)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fail(reason(err), "check --uri-file: a file whose only line is the URI", err)
	}
	uri := strings.TrimSpace(string(data))
	if uri == "" || strings.ContainsAny(uri, "\n\r") {
		return "", fail("it doesn't have exactly one line", "put the URI, and nothing else, into it", nil)
	}
	return uri, nil
}

// databaseName turns a program's name into one that MongoDB takes.
func databaseName(program string) string {
	name := regexp.MustCompile(`[^A-Za-z0-9_-]+`).ReplaceAllString(program, "-")
	return cmp.Or(strings.Trim(name[:min(len(name), 38)], "-"), "app")
}
