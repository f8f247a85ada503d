package params

import (
	"io/fs"
	"runtime"
	"strings"
)

const onCommandLine = "a secret must not be on the command line, where others on this machine can read it; "

const inOpenFile = "the file has a secret in it and others than its owner may read it; chmod 600 it"

// secretWays says how a secret can be given.
func secretWays(n *node) string {
	env := "an environment variable"
	if len(n.tags.env) > 0 {
		env = "the environment variable " + n.tags.env[0]
	}
	return "give it by " + env + ", by a file (--config=@FILE) or at the prompt"
}

// holdsSecret tells whether a value of n may have a secret in it.
func (n *node) holdsSecret() bool {
	if n.tags.secret {
		return true
	}
	if n.elem != nil && n.elem.holdsSecret() {
		return true
	}
	for _, kid := range n.kids {
		if kid.holdsSecret() {
			return true
		}
	}
	return false
}

// dropSecrets removes and reports the secrets below n that came by a way that others can read.
func (r *argReader) dropSecrets(l Layer, n *node, why string) {
	for _, kid := range n.kids {
		if kid.kind == Struct {
			r.dropSecrets(l, kid, why)
			continue
		}
		if _, given := l.values[kid.path]; given && kid.holdsSecret() {
			name := l.values[kid.path].name
			delete(l.values, kid.path)
			if l.origin == OriginFile && why == onCommandLine {
				name = "--" + kid.path // the file is the command line itself
			}
			message := why
			if why == onCommandLine {
				message += secretWays(kid)
			}
			r.report(place{kid.path, name, l.origin}, mask, message)
		}
	}
}

// config reads --config: an object on the command line, in a file or on standard input.
func (r *argReader) config(value string, hasValue bool) {
	at := place{"config", "--config", OriginFlag}
	if !hasValue && !r.nextWord(&value) {
		r.report(at, "", "needs a value: --config='{…}' or --config=@FILE")
		return
	}
	if r.configSeen {
		r.report(at, "", "is given twice")
		return
	}
	r.configSeen = true
	content, elsewhere, ok := r.content(at, value)
	if !ok {
		return
	}
	if !elsewhere {
		if content = value; !strings.HasPrefix(strings.TrimSpace(value), "{") {
			r.report(at, "", "is neither a JSON object nor a file; a file is written with an @: --config=@FILE")
			return
		}
	}
	object, problems := parseObject([]byte(content), OriginFile)
	r.problems = append(r.problems, problems...)
	r.distribute(object)
	for i, s := range r.Specs {
		switch {
		case !elsewhere:
			r.dropSecrets(r.file[i], s.root, onCommandLine)
		case r.exposed:
			r.dropSecrets(r.file[i], s.root, inOpenFile)
		}
	}
}

// exposed tells whether a file may be read by others than its owner. Windows has no such bits.
func exposed(f any) bool {
	file, ok := f.(interface{ Stat() (fs.FileInfo, error) })
	if !ok || runtime.GOOS == "windows" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0
}

// distribute gives each member of a config object to the first spec that knows it.
func (r *argReader) distribute(object map[string]any) {
	var known []string
	for _, s := range r.Specs {
		known = append(known, s.root.paths()...)
	}
	for _, key := range sortedKeys(object) {
		first, _, _ := strings.Cut(key, ".")
		taken := false
		for i, s := range r.Specs {
			if _, ok := s.root.names[first]; ok {
				r.problems = append(r.problems, r.file[i].member(s.root, place{}, key, object[key])...)
				taken = true
				break
			}
		}
		if !taken {
			name := shorten(key)
			r.problems = append(r.problems, Problem{
				Field: name, Name: label(OriginFile, name), Message: "unknown parameter",
				Suggestion: Nearest(key, known), Origin: OriginFile,
			})
		}
	}
}
