//go:build linux

package faultrig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

const (
	setName = "faults"

	// startLimit bounds the start of a set, a download of mongod included.
	startLimit = 20 * time.Minute

	// patience bounds whatever a set does by itself: elections, catching up.
	patience = 45 * time.Second

	// look is how often a server is asked whether something has happened that no event tells of.
	look = 20 * time.Millisecond
)

// AdminApp is the name under which the rig itself talks to servers. No fault is meant for it.
const AdminApp = "faultrig"

// Set is a replica set of real mongods on the loopback interface. Its members are numbered from 0.
type Set struct {
	nodes []*member

	mu      sync.Mutex
	dead    map[int]bool
	frozen  map[int]bool
	clients []*mongo.Client
}

// member is one mongod, and a client that talks to it alone.
type member struct {
	server *embedded.Server
	admin  *mongo.Client
}

// nodeArgs are small, as three of them run beside the test.
func nodeArgs(more []string) []string {
	if !slices.Contains(more, "--oplogSize") {
		more = append([]string{"--oplogSize", "200"}, more...)
	}
	return append([]string{
		"--replSet", setName,
		"--setParameter", "enableTestCommands=1",
		"--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0",
	}, more...)
}

// ReplicaSet starts a set for this test alone and removes it at the end. Elections take 3 s from the last sign of life.
func ReplicaSet(t testing.TB, n int, args ...string) *Set {
	t.Helper()
	return SetOf(t, make([]Host, n), args...)
}

// Host is what a member has of its own. The zero value is nothing.
type Host struct {
	Dir string // where its data is; see [SmallDisk]
	Env string // NAME=value of its mongod, such as a library to load first; it needs Dir
}

// SetOf is [ReplicaSet] on hosts of which some are special.
func SetOf(t testing.TB, hosts []Host, args ...string) *Set {
	t.Helper()
	mongotest.Wanted(t)
	s, err := startSet(hosts, args...)
	mongotest.Unavailable(t, err)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error("stop the replica set:", err)
		}
	})
	return s
}

// Node starts a one-node set with further arguments for its mongod.
func Node(t testing.TB, args ...string) *Set {
	t.Helper()
	return ReplicaSet(t, 1, args...)
}

func startSet(hosts []Host, args ...string) (_ *Set, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	s := &Set{nodes: make([]*member, len(hosts)), dead: map[int]bool{}, frozen: map[int]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	var group errgroup.Group
	for i, host := range hosts {
		group.Go(func() error {
			m, err := startMember(ctx, host, args)
			s.nodes[i] = m
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ctx, cancel = context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.initiate(ctx); err != nil {
		return nil, err
	}
	return s, s.healthy(ctx)
}

// startMember starts a mongod that package embedded takes for a standalone one: it leaves the set to us.
func startMember(ctx context.Context, host Host, args []string) (*member, error) {
	o := &embedded.Options{Standalone: true, Dir: host.Dir, Args: nodeArgs(args)}
	if host.Env != "" {
		var err error
		if o.Binary, err = wrapper(ctx, host); err != nil {
			return nil, err
		}
	}
	server, err := embedded.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	m := &member{server: server}
	m.admin, err = mongo.Connect(options.Client().ApplyURI(server.URI()).SetAppName(AdminApp).
		SetServerSelectionTimeout(2 * time.Second).SetTimeout(10 * time.Second).SetHeartbeatInterval(500 * time.Millisecond))
	if err != nil {
		return m, errors.Join(err, server.Stop(ctx))
	}
	return m, nil
}

func (m *member) addr() string { return fmt.Sprintf("127.0.0.1:%d", m.server.Port()) }

func (m *member) run(ctx context.Context, cmd bson.D, into any) error {
	res := m.admin.Database("admin").RunCommand(ctx, cmd)
	if into == nil {
		return res.Err()
	}
	return res.Decode(into)
}

func (s *Set) initiate(ctx context.Context) error {
	members := make(bson.A, len(s.nodes))
	for i, m := range s.nodes {
		members[i] = bson.D{{Key: "_id", Value: i}, {Key: "host", Value: m.addr()}}
	}
	err := s.nodes[0].run(ctx, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: setName},
		{Key: "members", Value: members},
		{Key: "settings", Value: bson.D{
			{Key: "electionTimeoutMillis", Value: 3000},
			{Key: "heartbeatIntervalMillis", Value: 500},
			{Key: "heartbeatTimeoutSecs", Value: 3},
			{Key: "chainingAllowed", Value: false}, // or one member that is held back holds back another that follows it
		}},
	}}}, nil)
	if err != nil {
		return fmt.Errorf("initiate the replica set: %w", err)
	}
	return nil
}

// stop ends all that the set has. It is fine to call it on a set that is half started.
func (s *Set) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, client := range s.clients {
		errs = append(errs, client.Disconnect(ctx))
	}
	var group errgroup.Group
	for _, m := range s.nodes {
		if m == nil {
			continue
		}
		group.Go(func() error {
			if m.admin != nil {
				_ = m.admin.Disconnect(ctx)
			}
			return m.server.Stop(ctx)
		})
	}
	return errors.Join(append(errs, group.Wait())...)
}

// Addrs are the members' addresses, in order.
func (s *Set) Addrs() []string {
	addrs := make([]string, len(s.nodes))
	for i, m := range s.nodes {
		addrs[i] = m.addr()
	}
	return addrs
}

// URI is the set's address. Clients look at the members every 500 ms, the least that the driver allows, so that
// one that comes back is noticed.
func (s *Set) URI() string {
	return "mongodb://" + strings.Join(s.Addrs(), ",") + "/?replicaSet=" + setName + "&heartbeatFrequencyMS=500"
}

// Len is how many members the set has.
func (s *Set) Len() int { return len(s.nodes) }

// PID is the process number of a member's mongod.
func (s *Set) PID(i int) int { return s.nodes[i].server.PID() }

// Log is the end of a member's log.
func (s *Set) Log(i int) []string { return s.nodes[i].server.Logs() }

// Client connects to the set, for what a test itself reads and writes: majority, five seconds to find a server.
func (s *Set) Client(t testing.TB) *mongo.Client {
	t.Helper()
	return Connect(t, s.URI(), nil)
}

// Connect connects to any URI until the test ends. The options have majority concerns and the name of the rig; more may change them.
func Connect(t testing.TB, uri string, more func(*options.ClientOptions)) *mongo.Client {
	t.Helper()
	o := options.Client().ApplyURI(uri).SetAppName(AdminApp).SetTimeout(20 * time.Second).SetServerSelectionTimeout(15 * time.Second)
	insist(o)
	if more != nil {
		more(o)
	}
	client, err := mongo.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Disconnect(ctx); err != nil {
			t.Error("disconnect the test's client:", err)
		}
	})
	return client
}
