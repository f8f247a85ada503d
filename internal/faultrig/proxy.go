//go:build linux

package faultrig

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Toxics are what a [Proxy] does to the connections through it. The zero value does nothing. A change takes effect with the next
// bytes, on connections that are open too.
type Toxics struct {
	// Latency is added to what either side sends, at random up to Jitter more or less.
	Latency, Jitter time.Duration
	// Bandwidth is bytes per second, each way and connection; 0 means no limit.
	Bandwidth int
	// Slice cuts what is sent into pieces of so many bytes; 0 doesn't.
	Slice int
	// BlackHole keeps all that is sent, and answers nothing: neither side is told anything.
	BlackHole bool
	// LimitAnswers closes a connection when it has carried so many bytes from the server from now on; 0 doesn't.
	LimitAnswers int64
	// Refuse closes every connection at once, new ones too.
	Refuse bool
}

// Proxy stands between clients and one server, on an address of its own.
type Proxy struct {
	upstream string
	listener net.Listener
	done     chan struct{}
	wait     sync.WaitGroup

	mu      sync.Mutex
	toxics  Toxics
	changed chan struct{} // closed at a change
	links   map[*link]bool
	closed  bool

	accepted, broken atomic.Int64
	answered, harmed atomic.Int64
}

// link is one client's connection with the one to the server.
type link struct {
	client, server *net.TCPConn
	left           atomic.Int64 // bytes of answers that may still pass; 0 means any number
	once           sync.Once
}

// NewProxy starts a proxy to an address and closes it at the test's end.
func NewProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{upstream: upstream, listener: ln, done: make(chan struct{}), changed: make(chan struct{}), links: map[*link]bool{}}
	p.wait.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.done)
	_ = p.listener.Close()
	p.Cut()
	p.wait.Wait()
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set replaces the toxics. The zero value heals: what a black hole has swallowed arrives.
func (p *Proxy) Set(toxics Toxics) {
	p.mu.Lock()
	p.toxics = toxics
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		l.left.Store(toxics.LimitAnswers)
	}
	p.mu.Unlock()
	if toxics.Refuse {
		p.Cut()
	}
}

// Cut closes every connection that is open, as a fire-wall does that has forgotten them, by a reset. It returns how many.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		p.breakLink(l)
	}
	return len(links)
}

// Counts are what a proxy did since it began: connections taken, connections that it broke, bytes of answers passed on, and pieces of what
// was sent that it cut off, held up or kept.
type Counts struct{ Accepted, Broken, Answered, Harmed int64 }

// Counts tells whether the fault has happened to anybody.
func (p *Proxy) Counts() Counts {
	return Counts{p.accepted.Load(), p.broken.Load(), p.answered.Load(), p.harmed.Load()}
}

func (p *Proxy) now() (Toxics, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.toxics, p.changed
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		client, _ := conn.(*net.TCPConn)
		p.wait.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	toxics, _ := p.now()
	if toxics.Refuse {
		reset(client)
		p.broken.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", p.upstream)
	if err != nil {
		reset(client) // as if nobody listened
		return
	}
	server, _ := conn.(*net.TCPConn)
	l := &link{client: client, server: server}
	p.mu.Lock()
	l.left.Store(p.toxics.LimitAnswers)
	p.links[l] = true
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.breakLink(l)
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, client, server, false) })
	both.Go(func() { p.pump(l, server, client, true) })
	both.Wait()
	_ = client.Close()
	_ = server.Close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pump carries bytes one way until either side closes.
func (p *Proxy) pump(l *link, from, to *net.TCPConn, answers bool) {
	defer to.CloseWrite() //nolint:errcheck // the other side may be gone
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.pass(l, buf[:n], to, answers) {
			return
		}
		if err != nil {
			return
		}
	}
}

// pass sends what was read, as the toxics of the moment want it. It returns false when the connection is no more.
func (p *Proxy) pass(l *link, data []byte, to *net.TCPConn, answers bool) bool {
	for len(data) > 0 {
		toxics, changed := p.now()
		if toxics.BlackHole {
			p.harmed.Add(1)
			select {
			case <-changed:
				continue
			case <-p.done:
				return false
			}
		}
		piece := data
		if toxics.Slice > 0 {
			piece = piece[:min(toxics.Slice, len(piece))]
		}
		if toxics.Bandwidth > 0 {
			piece = piece[:min(max(1, toxics.Bandwidth/20), len(piece))]
		}
		wait := toxics.delay(len(piece))
		if wait > 0 || len(piece) < len(data) {
			p.harmed.Add(1)
		}
		if wait > 0 && !p.sleep(wait) {
			return false
		}
		if answers && toxics.LimitAnswers > 0 {
			if left := l.left.Load(); int64(len(piece)) >= left {
				_, _ = to.Write(piece[:max(0, left)])
				p.harmed.Add(1)
				p.breakLink(l)
				return false
			}
			l.left.Add(-int64(len(piece)))
		}
		if _, err := to.Write(piece); err != nil {
			return false
		}
		if answers {
			p.answered.Add(int64(len(piece)))
		}
		data = data[len(piece):]
	}
	return true
}

// delay is how long so many bytes take.
func (t Toxics) delay(n int) time.Duration {
	wait := t.Latency
	if t.Jitter > 0 {
		wait += time.Duration(rand.Int64N(2*int64(t.Jitter))) - t.Jitter //nolint:gosec // noise
	}
	if t.Bandwidth > 0 {
		wait += time.Duration(n) * time.Second / time.Duration(t.Bandwidth)
	}
	return max(0, wait)
}

// sleep returns false when the proxy is closed meanwhile.
func (p *Proxy) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.done:
		return false
	}
}

func (p *Proxy) breakLink(l *link) {
	l.once.Do(func() {
		p.broken.Add(1)
		reset(l.client)
		reset(l.server)
	})
}

// reset closes a connection without a good-bye.
func reset(c *net.TCPConn) {
	if err := c.SetLinger(0); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = c.Close()
		return
	}
	_ = c.Close()
}
