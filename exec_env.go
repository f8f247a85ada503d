package rikki

import (
	"os"
	"runtime"
	"slices"
	"strings"
)

// What a [Command]'s program finds in its environment.
const (
	envURI    = "MONGODB_URI"
	envOldURI = "MONGO_URI"
	envRun    = "RIKKI_RUN_ID"
	envScript = "RIKKI_SCRIPT"
)

// reserved are the variables that Rikki sets for the program.
func (c *Command) reserved() []string {
	return append([]string{envURI, envOldURI, envRun, envScript}, c.URIEnv...)
}

// environ is the whole environment of the program. Both names of the address
// are set: one that was left as it is could lead to another database.
func (c *Command) environ(run *Run, uri, tmp string) []string {
	var env []string
	set := func(name, value string) {
		prefix := name + "="
		env = slices.DeleteFunc(env, func(entry string) bool { return envHasPrefix(entry, prefix) })
		env = append(env, prefix+value)
	}
	all := slices.Contains(c.Env, "*")
	for _, entry := range os.Environ() {
		// Windows has entries that begin with the sign itself.
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" && (all || harmlessEnv(name)) {
			set(name, value)
		}
	}
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		set(name, tmp)
	}
	for _, entry := range c.Env {
		name, value, given := strings.Cut(entry, "=")
		if !given {
			value, given = os.LookupEnv(name)
		}
		if given && name != "*" {
			set(name, value)
		}
	}
	for _, name := range append([]string{envURI, envOldURI}, c.URIEnv...) {
		set(name, uri)
	}
	set(envRun, run.ID())
	set(envScript, run.Script())
	return env
}

// harmlessEnv lists what programs need to run at all, and what holds no
// credentials. That leaves proxies out, whose addresses may have a password.
func harmlessEnv(name string) bool {
	if runtime.GOOS == "windows" {
		name = strings.ToUpper(name)
	}
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "NODE_PATH", "NODE_ENV":
		return true
	case "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "USERNAME", "APPDATA",
		"LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE":
		return runtime.GOOS == "windows"
	}
	return strings.HasPrefix(name, "LC_")
}

func envHasPrefix(entry, prefix string) bool {
	if runtime.GOOS == "windows" {
		return len(entry) >= len(prefix) && strings.EqualFold(entry[:len(prefix)], prefix)
	}
	return strings.HasPrefix(entry, prefix)
}

func validEnvName(name string) bool {
	return name != "" && name != "*" && !strings.ContainsAny(name, "= \t\n\x00")
}
