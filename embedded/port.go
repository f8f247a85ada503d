package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
)

// Ports are picked below the range from which Linux serves outgoing
// connections, so no connection of this machine can take one by chance.
const (
	firstPort   = 20000
	lastPort    = 32000
	defaultPort = 27017 // never: a script that names no server would find ours
)

// pickPort returns a port nobody listens on: the directory's former one when it is free.
func pickPort(ctx context.Context, l layout) (int, error) {
	if p := l.formerPort(); p > 1024 && p != defaultPort && free(ctx, p) {
		return p, nil
	}
	for range 100 {
		p := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // not a secret
		if p != defaultPort && free(ctx, p) {
			return p, nil
		}
	}
	return 0, &Error{
		What: "cannot start the embedded server",
		Why:  fmt.Sprintf("no free TCP port found on 127.0.0.1 between %d and %d", firstPort, lastPort),
		Fix:  "name one in Options.Port",
		Err:  ErrExited,
	}
}

// free says whether the port can be bound. Somebody may take it right after;
// then mongod says so and the next one is tried.
func free(ctx context.Context, port int) bool {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

// formerPort returns the port of the directory's last server, 0 for a new one.
func (l layout) formerPort() int {
	b, err := os.ReadFile(l.port())
	if err != nil {
		return 0
	}
	p, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16)
	if err != nil {
		return 0
	}
	return int(p)
}

func (l layout) keepPort(port int) error {
	return writeFile(l.port(), []byte(strconv.Itoa(port)+"\n"))
}
