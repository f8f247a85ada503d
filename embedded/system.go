package embedded

import (
	"os"
	"runtime"
	"strings"
)

// systemName names the system for people.
func systemName() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	if b, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				return strings.Trim(strings.TrimSpace(v), `"`) + ", " + name
			}
		}
	}
	return name
}
