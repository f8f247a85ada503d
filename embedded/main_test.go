package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"
)

// roleEnv makes the test binary act as another program; see [runRole].
const roleEnv = "EMBEDDED_TEST_ROLE"

func TestMain(m *testing.M) {
	if raw := os.Getenv(roleEnv); raw != "" {
		runRole(raw)
		return
	}
	// These tests mostly wait for other processes, so more of them may run at
	// once than there are processors. A flag on the command line wins.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// role is what a child process of a test shall do.
type role struct {
	// Do is "use" (start a server, then obey commands) or "fetch".
	Do                     string
	Dir, Binary, CacheDir  string
	Mirror, KillAt, Target string
	Host                   *host
	Sums                   map[string]string
	Rounds                 int
}

// told is one answer of a child process.
type told struct {
	PID, Port      int
	Joined         bool
	Dir, URI, Err  string
	Source, Binary string
	Count          int64
}

func (r role) options() *Options {
	o := &Options{Dir: r.Dir, Binary: r.Binary, CacheDir: r.CacheDir, Mirror: r.Mirror, Target: r.Target}
	o.seams = seams{host: r.Host, sums: r.Sums, pips: [][]string{}}
	if r.KillAt != "" {
		o.seams.reached = func(point string) {
			if point == r.KillAt {
				say(told{})
				bufio.NewScanner(os.Stdin).Scan() // until the test has looked around
				die()
			}
		}
	}
	return o
}

// die ends this process as kill -9 does.
func die() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		_ = p.Kill()
	}
	select {}
}

func say(t told) {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(b))
}

func runRole(raw string) {
	var r role
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		panic(err)
	}
	ctx := context.Background()
	switch r.Do {
	case "fetch":
		b, err := Fetch(ctx, r.options())
		say(told{Source: string(b.Source), Binary: b.Path, Err: errorText(err)})
	case "use":
		use(ctx, r)
	case "hurry":
		hurry(ctx, r)
	}
}

// use starts a server and does what its standard input says.
func use(ctx context.Context, r role) {
	s, err := Start(ctx, r.options())
	if err != nil {
		say(told{Err: err.Error()})
		return
	}
	say(told{PID: s.PID(), Port: s.Port(), Joined: s.Joined(), Dir: s.Dir(), URI: s.URI()})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "write":
			n, err := write(ctx, s.URI())
			say(told{Count: n, Err: errorText(err)})
		case "stop":
			say(told{Err: errorText(s.Stop(ctx))})
		case "panic":
			panic("asked for")
		}
	}
}

// write inserts a document and counts all.
func write(ctx context.Context, uri string) (int64, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetTimeout(20 * time.Second))
	if err != nil {
		return 0, err
	}
	defer client.Disconnect(ctx) //nolint:errcheck // a test
	c := client.Database("d").Collection("c")
	if _, err := c.InsertOne(ctx, bson.D{{Key: "by", Value: os.Getpid()}}); err != nil {
		return 0, err
	}
	return c.CountDocuments(ctx, bson.D{})
}

// hurry starts, writes and stops as fast as it can, several times.
func hurry(ctx context.Context, r role) {
	for range r.Rounds {
		s, err := Start(ctx, r.options())
		if err != nil {
			say(told{Err: "start: " + err.Error()})
			return
		}
		if _, err = write(ctx, s.URI()); err != nil {
			say(told{Err: "write: " + err.Error() + "\n" + strings.Join(complaints(s.Logs()), "\n")})
			return
		}
		if err := s.Stop(ctx); err != nil {
			say(told{Err: "stop: " + err.Error()})
			return
		}
	}
	say(told{Count: int64(r.Rounds)})
}
