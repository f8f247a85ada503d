package embedded

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// host is what decides which build of MongoDB runs on a machine.
type host struct {
	OS, Arch string   // as runtime.GOOS and runtime.GOARCH
	Name     string   // for people
	IDs      []string // ID and ID_LIKE of /etc/os-release, nearest first
	Version  string   // VERSION_ID
	Musl     bool
	OpenSSL  int // major version of the system's library, 0 when not found
}

// thisHost looks at the machine.
func thisHost() host {
	h := host{OS: runtime.GOOS, Arch: runtime.GOARCH, Name: runtime.GOOS + "/" + runtime.GOARCH}
	if h.OS != "linux" {
		return h
	}
	if b, err := os.ReadFile("/etc/os-release"); err == nil {
		h.osRelease(string(b))
	}
	h.Musl = exists("/lib/ld-musl-*") && !exists("/lib*/ld-linux-*")
	switch {
	case exists("/lib*/libssl.so.3", "/usr/lib*/libssl.so.3", "/usr/lib/*/libssl.so.3"):
		h.OpenSSL = 3
	case exists("/lib*/libssl.so.1.1", "/usr/lib*/libssl.so.1.1", "/usr/lib/*/libssl.so.1.1"):
		h.OpenSSL = 1
	}
	return h
}

func exists(patterns ...string) bool {
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return true
		}
	}
	return false
}

// osRelease fills in what /etc/os-release says.
func (h *host) osRelease(text string) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	h.IDs = append([]string{fields["ID"]}, strings.Fields(fields["ID_LIKE"])...)
	h.Version = fields["VERSION_ID"]
	if name := fields["PRETTY_NAME"]; name != "" {
		h.Name = name + ", " + h.OS + "/" + h.Arch
	}
}
