//go:build linux

package faultrig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

const failCommand = "failCommand"

// Fault says how a server shall fail commands. Error codes and closed connections come before the command is carried out, a write
// concern error behind it: that is how "applied, but nobody knows" is made.
type Fault struct {
	// Commands are those that fail, such as "commitTransaction".
	Commands []string
	// AppName is whose commands fail. It is required: the rig's own must get through.
	AppName string

	// Times is how often; 0 means until it is turned off. Skip lets so many pass first, and then it is until turned off; the server
	// has no both. Probability, above 0, is that of each command.
	Times, Skip int
	Probability float64

	// Code is the error's code, WriteConcern that of the write concern error.
	Code, WriteConcern int
	// Labels replace the error's labels; nil leaves those that the server gives.
	Labels []string
	// Close closes the connection in place of an answer.
	Close bool
	// Block is how long the command waits before all that.
	Block time.Duration
}

func (f Fault) doc() (bson.D, error) {
	if f.AppName == "" || f.AppName == AdminApp || len(f.Commands) == 0 {
		return nil, errors.New("a fault needs Commands, and an AppName that is not the rig's own")
	}
	mode := any("alwaysOn")
	switch {
	case f.Times > 0 && f.Skip > 0:
		return nil, errors.New("the server takes either Times or Skip")
	case f.Times > 0:
		mode = bson.D{{Key: "times", Value: f.Times}}
	case f.Skip > 0:
		mode = bson.D{{Key: "skip", Value: f.Skip}}
	case f.Probability > 0:
		mode = bson.D{{Key: "activationProbability", Value: f.Probability}}
	}
	data := bson.D{{Key: "failCommands", Value: f.Commands}, {Key: "appName", Value: f.AppName}}
	if f.Code != 0 {
		data = append(data, bson.E{Key: "errorCode", Value: f.Code})
	}
	if f.WriteConcern != 0 {
		data = append(data, bson.E{Key: "writeConcernError", Value: bson.D{
			{Key: "code", Value: f.WriteConcern}, {Key: "errmsg", Value: "made by a fault test"},
		}})
	}
	if f.Labels != nil {
		data = append(data, bson.E{Key: "errorLabels", Value: f.Labels})
	}
	if f.Close {
		data = append(data, bson.E{Key: "closeConnection", Value: true})
	}
	if f.Block > 0 {
		data = append(data, bson.E{Key: "blockConnection", Value: true}, bson.E{Key: "blockTimeMS", Value: f.Block.Milliseconds()})
	}
	return bson.D{{Key: "configureFailPoint", Value: failCommand}, {Key: "mode", Value: mode}, {Key: "data", Value: data}}, nil
}

// turns has a mutex per server: it has one failCommand, so tests that share a server take turns.
var turns sync.Map //nolint:gochecknoglobals // the server's state is as global

// FailCommand sets a fault on the server that client reaches, and turns it off at the test's end. Tests that share the server
// wait for each other here; one test has one fault at a time on each server.
func FailCommand(t testing.TB, client *mongo.Client, f Fault) *FailPoint {
	t.Helper()
	doc, err := f.doc()
	if err != nil {
		t.Fatal(err)
	}
	var me struct {
		Me string `bson:"me"`
	}
	if err := client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&me); err != nil {
		t.Fatal(err)
	}
	turn, _ := turns.LoadOrStore(me.Me, &sync.Mutex{})
	turn.(*sync.Mutex).Lock() //nolint:forcetypeassert // see above
	p, err := set(t.Context(), client, doc)
	if err != nil {
		turn.(*sync.Mutex).Unlock() //nolint:forcetypeassert // see above
		t.Fatal(err)
	}
	off := p.once(t)
	p.off = sync.OnceFunc(func() { off(); turn.(*sync.Mutex).Unlock() }) //nolint:forcetypeassert // see above
	t.Cleanup(p.off)
	return p
}

// Fail sets a fault on one member.
func (s *Set) Fail(t testing.TB, i int, f Fault) *FailPoint {
	t.Helper()
	return FailCommand(t, s.nodes[i].admin, f)
}

// FailPoint is one that is set on a server.
type FailPoint struct {
	client *mongo.Client
	name   string
	before int64 // how often it had been reached when it was set
	off    func()
	last   int64
}

// set sets a fail point. The server's count goes on from the last time, so it is turned off first to read it.
func set(ctx context.Context, client *mongo.Client, doc bson.D) (*FailPoint, error) {
	name, _ := doc[0].Value.(string)
	p := &FailPoint{client: client, name: name}
	var err error
	if p.before, err = p.configure(ctx, bson.D{doc[0], {Key: "mode", Value: "off"}}); err != nil {
		return nil, err
	}
	_, err = p.configure(ctx, doc)
	return p, err
}

func (p *FailPoint) configure(ctx context.Context, doc bson.D) (count int64, err error) {
	var answer struct {
		Count int64 `bson:"count"`
	}
	if err := p.client.Database("admin").RunCommand(ctx, doc).Decode(&answer); err != nil {
		return 0, fmt.Errorf("fail point %s: %w", p.name, err)
	}
	return answer.Count, nil
}

// Become replaces the fault. What counts is from now on. A test that needs its fault at a certain moment sets one beforehand that
// strikes nobody, so that it need not wait for its turn then.
func (p *FailPoint) Become(t testing.TB, f Fault) {
	t.Helper()
	doc, err := f.doc()
	if err != nil {
		t.Fatal(err)
	}
	now, err := set(t.Context(), p.client, doc)
	if err != nil {
		t.Fatal(err)
	}
	p.before = now.before
}

// Off turns it off and returns how often it fired.
func (p *FailPoint) Off() int {
	p.off()
	return int(p.last)
}

// Await waits until it has fired at least n times.
func (p *FailPoint) Await(t testing.TB, n int) {
	t.Helper()
	if err := p.await(t.Context(), n, patience); err != nil {
		t.Fatalf("the fault did not happen %d times: %v", n, err)
	}
}

func (p *FailPoint) await(ctx context.Context, n int, limit time.Duration) error {
	return until(ctx, limit, fmt.Sprintf("%s to fire %d times", p.name, n), func(ctx context.Context) (bool, error) {
		count, err := p.entered(ctx)
		return count >= int64(n), err
	})
}

// Count is how often it has fired so far.
func (p *FailPoint) Count(t testing.TB) int {
	t.Helper()
	n, err := p.entered(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func (p *FailPoint) entered(ctx context.Context) (int64, error) {
	name := "failpoint." + p.name
	raw, err := p.client.Database("admin").RunCommand(ctx, bson.D{{Key: "getParameter", Value: 1}, {Key: name, Value: 1}}).Raw()
	if err != nil {
		return 0, fmt.Errorf("fail point %s: %w", p.name, err)
	}
	return raw.Lookup(name, "timesEntered").AsInt64() - p.before, nil
}

// once makes a function that turns the fail point off, and does so once. A server that is down has none.
func (p *FailPoint) once(t testing.TB) func() {
	return sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		count, err := p.configure(ctx, bson.D{{Key: "configureFailPoint", Value: p.name}, {Key: "mode", Value: "off"}})
		if err != nil {
			t.Logf("%v (is the server down?)", err)
			return
		}
		p.last = count - p.before
	})
}
