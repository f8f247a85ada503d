package backfill

import (
	"context"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/commands"
	"github.com/rikki-go/rikki/internal/pace"
)

// serverStatus is what a backfill looks at in the command of that name.
type serverStatus struct {
	Host string
	PID  int64 `bson:"pid"`

	FlowControl struct {
		IsLagged bool `bson:"isLagged"`
	} `bson:"flowControl"`

	Metrics struct {
		Commands bson.Raw // by name, how many there were
	}

	at time.Time
}

func readStatus(ctx context.Context, client *mongo.Client) (serverStatus, error) {
	command := bson.D{{Key: "serverStatus", Value: 1}}
	for _, section := range []string{"wiredTiger", "repl", "tcmalloc", "locks", "transactions", "opLatencies", "network", "mirroredReads"} {
		command = append(command, bson.E{Key: section, Value: 0})
	}
	var s serverStatus
	err := client.Database("admin").RunCommand(ctx, command).Decode(&s)
	s.at = time.Now()
	return s, err
}

// process names the server: another one has counted other commands.
func (s serverStatus) process() string { return s.Host + "/" + strconv.FormatInt(s.PID, 10) }

// commands is how many that read or write documents the server has had, from anybody.
func (s serverStatus) commands() int64 {
	var n int64
	for _, name := range commands.OnDocuments() {
		total, _ := s.Metrics.Commands.Lookup(name, "total").AsInt64OK()
		n += total
	}
	return n
}

// others tells from two looks at a server how many commands it gets from others than the run.
type others struct {
	process   string
	all, sent int64
	at        time.Time
}

// shortestLook is how long must have passed between two looks.
const shortestLook = 50 * time.Millisecond

// look compares with the last time. It is false when nothing can be told yet. sent is how many the run had sent when it had the answer:
// one that is under way meanwhile is rather missed than taken for somebody else's.
func (o *others) look(s serverStatus, sent int64) (pace.Others, bool) {
	before, passed := *o, s.at.Sub(o.at)
	if before.process == s.process() && passed < shortestLook {
		return pace.Others{}, false
	}
	*o = others{process: s.process(), all: s.commands(), sent: sent, at: s.at}
	if before.process != o.process {
		return pace.Others{}, false
	}
	foreign := (o.all - before.all) - (o.sent - before.sent)
	// Within a shorter time than usual, what the server does for itself on behalf of the run would look like a crowd.
	return pace.Others{Rate: float64(max(foreign, 0)) / max(passed, lookEvery).Seconds()}, true
}
