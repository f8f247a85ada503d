package mongotest

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// MainWithEnv is [Main] for packages whose Example functions connect as a
// user's program does: it starts the shared server first and sets MONGODB_URI
// to the named database on it.
func MainWithEnv(m *testing.M, database string) int {
	if os.Getenv(uriEnv) == none {
		if err := flag.Set("test.skip", "^Example"); err != nil { // an example can't skip itself
			fmt.Fprintln(os.Stderr, "mongotest:", err)
			return 1
		}
		return Main(m)
	}
	shared.once.Do(start)
	if shared.err != nil {
		fmt.Fprintln(os.Stderr, "mongotest: no MongoDB for the examples:", shared.err)
		return Main(m)
	}
	uri := os.Getenv(uriEnv)
	if shared.server != nil {
		uri = shared.server.URI()
	}
	if err := os.Setenv("MONGODB_URI", withDatabase(uri, database)); err != nil {
		fmt.Fprintln(os.Stderr, "mongotest:", err)
		return 1
	}
	return Main(m)
}

// withDatabase puts a database into a URI that has none.
func withDatabase(uri, database string) string {
	base, options, found := strings.Cut(uri, "?")
	base = strings.TrimSuffix(base, "/") + "/" + database
	if found {
		return base + "?" + options
	}
	return base
}
