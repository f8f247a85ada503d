package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/embedded"
)

// Database is the one that everybody works on.
const Database = "bench"

// Server is the mongod of all contestants.
type Server struct {
	URI     string // with the database
	Client  *mongo.Client
	DB      *mongo.Database
	Version string

	embedded *embedded.Server // nil for another one
	pid      int
}

// Start starts a mongod with a cache of so many GiB, or uses the one at uri as it is.
func Start(ctx context.Context, uri string, cache float64) (*Server, error) {
	sv := &Server{URI: uri}
	if uri == "" {
		e, err := embedded.Start(ctx, nil)
		if err != nil {
			return nil, err
		}
		sv.embedded, sv.URI = e, WithDatabase(e.URI())
	}
	if err := sv.connect(ctx, cache); err != nil {
		return nil, errors.Join(err, sv.Stop(context.WithoutCancel(ctx)))
	}
	return sv, nil
}

// WithDatabase adds the database to the URI of an embedded server, since a script's URI names one.
func WithDatabase(uri string) string { return strings.Replace(uri, "/?", "/"+Database+"?", 1) }

func (sv *Server) connect(ctx context.Context, cache float64) error {
	client, err := mongo.Connect(options.Client().ApplyURI(sv.URI))
	if err != nil {
		return err
	}
	sv.Client, sv.DB = client, client.Database(Database)
	var status struct {
		PID     int64  `bson:"pid"`
		Version string `bson:"version"`
	}
	if err := sv.Admin(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		return err
	}
	sv.pid, sv.Version = int(status.PID), status.Version
	if sv.embedded == nil {
		return nil // somebody else's server keeps its settings
	}
	return sv.Admin(ctx, bson.D{
		{Key: "setParameter", Value: 1},
		{Key: "wiredTigerEngineRuntimeConfig", Value: fmt.Sprintf("cache_size=%dM", int(cache*1024))},
	}).Err()
}

// Admin runs a command on the server.
func (sv *Server) Admin(ctx context.Context, command bson.D) *mongo.SingleResult {
	return sv.Client.Database("admin").RunCommand(ctx, command)
}

// Settle puts all that was written on disk, so that nobody pays for what came before.
func (sv *Server) Settle(ctx context.Context) error {
	return sv.Admin(ctx, bson.D{{Key: "fsync", Value: 1}}).Err()
}

// Stop disconnects, and ends the server if it was started here.
func (sv *Server) Stop(ctx context.Context) error {
	var err error
	if sv.Client != nil {
		err = sv.Client.Disconnect(ctx)
	}
	if sv.embedded != nil {
		err = errors.Join(err, sv.embedded.Stop(ctx))
	}
	return err
}

// cpu is how long the server's process has computed so far; 0 where that can't be seen.
func (sv *Server) cpu() time.Duration {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(sv.pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	const utime, stime = 11, 12 // from the state on
	if len(fields) <= stime {
		return 0
	}
	var ticks int64
	for _, f := range []string{fields[utime], fields[stime]} {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

// Counters are what the server counted meanwhile.
type Counters struct {
	CPU       time.Duration `json:"cpu"`
	Commands  int64         `json:"commands"` // all that came over the network
	Received  int64         `json:"bytes_in"`
	Sent      int64         `json:"bytes_out"`
	Commits   int64         `json:"transactions"`
	Syncs     int64         `json:"log_syncs"`
	LogBytes  int64         `json:"log_bytes"`
	Conflicts int64         `json:"write_conflicts"`
}

// Counters reads them.
func (sv *Server) Counters(ctx context.Context) (Counters, error) {
	doc, err := sv.Admin(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Raw()
	if err != nil {
		return Counters{}, err
	}
	at := func(path ...string) int64 {
		n, _ := doc.Lookup(path...).AsInt64OK()
		return n
	}
	return Counters{
		CPU: sv.cpu(), Commands: at("network", "numRequests"), Received: at("network", "bytesIn"), Sent: at("network", "bytesOut"),
		Commits: at("transactions", "totalCommitted"), Syncs: at("wiredTiger", "log", "log sync operations"),
		LogBytes: at("wiredTiger", "log", "log bytes written"), Conflicts: at("metrics", "operation", "writeConflicts"),
	}, nil
}

// Since returns what was counted since earlier.
func (c Counters) Since(earlier Counters) Counters {
	return Counters{
		CPU: c.CPU - earlier.CPU, Commands: c.Commands - earlier.Commands, Received: c.Received - earlier.Received,
		Sent: c.Sent - earlier.Sent, Commits: c.Commits - earlier.Commits, Syncs: c.Syncs - earlier.Syncs,
		LogBytes: c.LogBytes - earlier.LogBytes, Conflicts: c.Conflicts - earlier.Conflicts,
	}
}
