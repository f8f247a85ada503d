package conn

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// DefaultURI is where a Source connects when nothing names another place.
const DefaultURI = "mongodb://localhost:27017/myappdb"

// What a Config's zero fields mean.
const (
	DefaultAppName                = "rikki"
	DefaultPoolSize               = 2
	DefaultServerSelectionTimeout = 5 * time.Second
	// DefaultTimeout is longer than an election takes (about 12 s), so that one
	// passes unnoticed, and short enough for a frozen server to be noticed: without
	// it the driver was seen to hang for 70 s.
	DefaultTimeout = 30 * time.Second
	// DefaultHeartbeatInterval is how soon a server that went away is noticed and
	// looked for again. The driver's own 10 s would stall every failover test.
	DefaultHeartbeatInterval = 2 * time.Second
	// DefaultConnectTimeout bounds one socket's opening and handshake, and how long
	// a server may leave a heartbeat unanswered.
	DefaultConnectTimeout = 10 * time.Second
)

// Where a Source's URI came from, see [Source.Origin].
const (
	OriginConfig     = "Config"
	OriginMongoDBURI = "MONGODB_URI"
	OriginMongoURI   = "MONGO_URI"
	OriginDefault    = "default"
)

// Config says where and how to connect. Its zero value connects to what the
// environment names, or to [DefaultURI]. A field that is set wins over the
// same option in the URI, and the URI over the defaults.
type Config struct {
	// URI is a mongodb:// or mongodb+srv:// connection string. When it is blank,
	// MONGODB_URI is taken, then MONGO_URI, then DefaultURI. A blank variable counts
	// as missing.
	URI string
	// Origin says where URI came from, for messages: "--uri-file", say. Empty means
	// OriginConfig. It is ignored while URI is blank.
	Origin string
	// Database is the one that Ref.DB returns. Empty means the one in the URI's
	// path. When neither names one, Acquire fails: guessing could write to the wrong
	// place.
	Database string
	// AppName is shown in the server's logs and current operations. Empty means the
	// URI's, or DefaultAppName.
	AppName string
	// PoolSize limits the connections to each server. Zero means the URI's
	// maxPoolSize, or DefaultPoolSize.
	PoolSize uint64
	// ServerSelectionTimeout is how long an operation waits for a suitable server.
	// Zero means the URI's, or DefaultServerSelectionTimeout.
	ServerSelectionTimeout time.Duration
	// ConnectFor is how long Acquire keeps trying, all retries included. Zero means
	// as long as ServerSelectionTimeout.
	ConnectFor time.Duration
	// Timeout bounds every operation whose context has no deadline. Zero means the
	// URI's, or DefaultTimeout; a negative value means no limit.
	Timeout time.Duration
	// HeartbeatInterval is the pause between two looks at a server, at least 500 ms.
	// Zero means the URI's, or DefaultHeartbeatInterval.
	HeartbeatInterval time.Duration
	// KeepOpen keeps the client when the last reference is released. Then only Close
	// disconnects.
	KeepOpen bool
	// Log takes what happens to the connection; nil discards it. Records pass a
	// redactor first.
	Log *slog.Logger
	// Monitor sees every command. It may be nil.
	Monitor *event.CommandMonitor
	// OnChange is called with the new status whenever the state changed. Calls come
	// one after the other, from a goroutine of the Source, so OnChange must not wait
	// for Release or Close.
	OnChange func(Status)
	// ClientOptions may change what this Config has no field for. The majority
	// concerns, retryable writes and the Source's own monitors are set behind it.
	ClientOptions func(*options.ClientOptions)
	// Getenv reads the environment. Nil means os.Getenv.
	Getenv func(string) string
}

// address is a URI and where it came from.
type address struct{ uri, origin string }

func (c *Config) address() address {
	if uri := strings.TrimSpace(c.URI); uri != "" {
		if c.Origin != "" {
			return address{uri, c.Origin}
		}
		return address{uri, OriginConfig}
	}
	getenv := c.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	for _, name := range []string{OriginMongoDBURI, OriginMongoURI} {
		if uri := strings.TrimSpace(getenv(name)); uri != "" {
			return address{uri, name}
		}
	}
	return address{DefaultURI, OriginDefault}
}
