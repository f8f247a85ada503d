//go:build linux

package faultrig

import (
	"context"
	"net"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Routes lead clients of a set through a proxy for each member. The driver connects to the addresses in the set's
// configuration, whatever the URI says; so the detour is in its dialer.
type Routes struct {
	to      map[string]string
	Proxies []*Proxy // one for each member, in order
}

// Routes starts a proxy for each member of the set.
func (s *Set) Routes(t testing.TB) *Routes {
	t.Helper()
	return NewRoutes(t, s.Addrs()...)
}

// NewRoutes starts a proxy for each address.
func NewRoutes(t testing.TB, addrs ...string) *Routes {
	t.Helper()
	r := &Routes{to: map[string]string{}}
	for _, addr := range addrs {
		p := NewProxy(t, addr)
		r.to[addr] = p.Addr()
		r.Proxies = append(r.Proxies, p)
	}
	return r
}

// Set gives all members the same toxics.
func (r *Routes) Set(toxics Toxics) {
	for _, p := range r.Proxies {
		p.Set(toxics)
	}
}

// Cut closes all connections and returns how many.
func (r *Routes) Cut() (n int) {
	for _, p := range r.Proxies {
		n += p.Cut()
	}
	return n
}

// Counts is the sum of all proxies'.
func (r *Routes) Counts() (sum Counts) {
	for _, p := range r.Proxies {
		c := p.Counts()
		sum.Accepted += c.Accepted
		sum.Broken += c.Broken
		sum.Answered += c.Answered
		sum.Harmed += c.Harmed
	}
	return sum
}

// DialContext dials the proxy of an address that has one, and any other address itself.
func (r *Routes) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if detour, ok := r.to[addr]; ok {
		addr = detour
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Options is for conn.Config.ClientOptions.
func (r *Routes) Options(o *options.ClientOptions) {
	if r != nil && len(r.to) > 0 {
		o.SetDialer(r)
	}
}
