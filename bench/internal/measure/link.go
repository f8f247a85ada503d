package measure

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Link stands between clients and a server as a slow network would: everything that either side sends arrives half a round trip later. What is
// sent meanwhile is under way at the same time, so a link has no bandwidth of its own.
type Link struct {
	Addr string

	upstream string
	half     time.Duration
	listener net.Listener
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once it is closed
}

// OpenLink opens one to the server at an address.
func OpenLink(ctx context.Context, upstream string, roundTrip time.Duration) (*Link, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{Addr: ln.Addr().String(), upstream: upstream, half: roundTrip / 2, listener: ln, conns: map[net.Conn]bool{}} //nolint:mnd // each way
	l.wait.Go(func() { l.accept(ctx) })
	return l, nil
}

// Close ends all connections.
func (l *Link) Close() {
	_ = l.listener.Close() // what could it say?
	l.mu.Lock()
	for conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.wait.Wait()
}

func (l *Link) accept(ctx context.Context) {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wait.Go(func() { l.serve(ctx, client) })
	}
}

// keep is false when the link is closed already.
func (l *Link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *Link) drop(conn net.Conn) {
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

func (l *Link) serve(ctx context.Context, client net.Conn) {
	defer l.drop(client)
	time.Sleep(2 * l.half) // the handshake of TCP
	var d net.Dialer
	server, err := d.DialContext(ctx, "tcp4", l.upstream)
	if err != nil {
		return
	}
	defer l.drop(server)
	if !l.keep(client) || !l.keep(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(client, server) })
	both.Go(func() { l.pump(server, client) })
	both.Wait()
}

// piece is what was sent, and when it arrives.
type piece struct {
	data []byte
	due  time.Time
}

// pump carries what one side sends to the other, until one of them closes.
func (l *Link) pump(from, to net.Conn) {
	const window = 4096 // pieces under way
	pieces := make(chan piece, window)
	var writer sync.WaitGroup
	writer.Go(func() {
		defer to.Close()   //nolint:errcheck // it is over
		defer from.Close() //nolint:errcheck // the other way, too
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				break
			}
		}
		for range pieces { // the reader must not wait for ever
		}
	})
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		if n > 0 {
			pieces <- piece{buf[:n], time.Now().Add(l.half)}
		}
		if err != nil {
			break
		}
	}
	close(pieces)
	writer.Wait()
}

// Through is a URI that goes by the link. A member of a set would tell clients its own address, so they are told to stay.
func (l *Link) Through(uri string) (string, error) {
	scheme, rest, found := strings.Cut(uri, "://")
	at := strings.IndexAny(rest, "/?")
	if !found || scheme != "mongodb" || at < 0 {
		return "", fmt.Errorf("a link goes to one host: want mongodb://HOST:PORT/DATABASE")
	}
	login := ""
	if i := strings.LastIndex(rest[:at], "@"); i >= 0 {
		login = rest[:i+1]
	}
	uri = scheme + "://" + login + l.Addr + rest[at:]
	if strings.Contains(uri, "directConnection=") {
		return uri, nil
	}
	if strings.Contains(uri, "?") {
		return uri + "&directConnection=true", nil
	}
	return uri + "?directConnection=true", nil
}

// HostOf is the host and port of a URI of one server.
func HostOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		rest = rest[:at]
	}
	return rest[strings.LastIndex(rest, "@")+1:]
}
