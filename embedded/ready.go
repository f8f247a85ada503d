package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// replicaSet is the name of the one-node set.
const replicaSet = "rs0"

// readyPoll is how often a starting mongod is looked at.
const readyPoll = 5 * time.Millisecond

// timeout is the cause of a context that ran out during a start.
func (s *Server) timeout() error {
	return &Error{
		What: "mongod did not become ready",
		Why:  fmt.Sprintf("nothing after %v", s.opts.StartTimeout),
		Fix:  "see " + s.dir.log() + ", or raise Options.StartTimeout on a slow machine",
		Err:  ErrStartTimeout,
	}
}

// ready waits until the mongod of s.spec takes writes, or returns how it ended.
func (s *Server) ready(ctx context.Context) error {
	if err := s.listening(ctx); err != nil {
		return err
	}
	if s.spec.Standalone {
		return nil
	}
	client, err := s.direct()
	if err != nil {
		return err
	}
	defer client.Disconnect(context.WithoutCancel(ctx)) //nolint:errcheck // read side only
	if err := s.primary(ctx, client.Database("admin")); err != nil {
		if lost := s.lost(); lost != nil {
			return lost
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// listening waits for mongod's own word that it has the port. Connecting to
// it proves less: a stranger may have taken the port, and answer.
func (s *Server) listening(ctx context.Context) error {
	for {
		b, err := os.ReadFile(s.dir.log())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if bytes.Contains(b, []byte(`"id":23016,`)) { // "Waiting for connections"
			return nil
		}
		if err := s.lost(); err != nil {
			return err
		}
		if err := pause(ctx, readyPoll); err != nil {
			return err
		}
	}
}

// lost returns how mongod ended, or nil while it has a watcher.
func (s *Server) lost() error {
	if watched(s.dir) {
		return nil
	}
	return s.exitError()
}

// direct connects to this very node, whatever it thinks its replica set is.
func (s *Server) direct() (*mongo.Client, error) {
	return mongo.Connect(options.Client().
		ApplyURI(fmt.Sprintf("mongodb://127.0.0.1:%d/?directConnection=true", s.spec.Port)).
		SetAppName("rikki-embedded").
		SetServerSelectionTimeout(2 * time.Second).
		SetTimeout(10 * time.Second))
}

// hello is what this package needs of the command's answer.
type hello struct {
	Writable bool   `bson:"isWritablePrimary"`
	Set      string `bson:"setName"`
	Me       string `bson:"me"`
	Info     string `bson:"info"`
}

// primary makes the node the primary of its own set: a new one is initiated,
// one that was moved to another port is given its new address.
func (s *Server) primary(ctx context.Context, admin *mongo.Database) error {
	asked := false
	for {
		var h hello
		err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&h)
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil: // it closes connections when its state changes
		case h.Writable:
			return nil
		case !asked:
			asked, err = s.configure(ctx, admin, h)
			if err != nil {
				return err
			}
			continue
		}
		if lost := s.lost(); lost != nil {
			return lost
		}
		if err := pause(ctx, readyPoll); err != nil {
			return err
		}
	}
}

// configure writes the set's configuration when it is missing or names another
// address. It returns true when there is nothing left to do but to wait.
func (s *Server) configure(ctx context.Context, admin *mongo.Database, h hello) (bool, error) {
	host := fmt.Sprintf("127.0.0.1:%d", s.spec.Port)
	if h.Set != "" && h.Me == host {
		return true, nil // being elected
	}
	var status struct {
		Code int `bson:"code"`
	}
	err := admin.RunCommand(ctx, bson.D{{Key: "replSetGetStatus", Value: 1}}).Err()
	var se mongo.CommandError
	if errors.As(err, &se) {
		status.Code = int(se.Code)
	}
	const notYetInitialized, invalidConfig = 94, 93
	switch status.Code {
	case notYetInitialized:
		return s.initiate(ctx, admin, host)
	case invalidConfig: // the node is not in its own configuration: another port
		return s.move(ctx, admin, host)
	}
	return false, pause(ctx, readyPoll)
}

func (s *Server) initiate(ctx context.Context, admin *mongo.Database, host string) (bool, error) {
	err := admin.RunCommand(ctx, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: replicaSet},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}},
	}}}).Err()
	const alreadyInitialized = 23
	var se mongo.CommandError
	if err != nil && (!errors.As(err, &se) || se.Code != alreadyInitialized) {
		return false, fmt.Errorf("initiate the replica set: %w", err)
	}
	return true, nil
}

func (s *Server) move(ctx context.Context, admin *mongo.Database, host string) (bool, error) {
	var got struct {
		Config bson.M `bson:"config"`
	}
	local := admin.Client().Database("local").Collection("system.replset")
	if err := local.FindOne(ctx, bson.D{}).Decode(&got.Config); err != nil {
		return false, fmt.Errorf("read the replica set's configuration: %w", err)
	}
	version, _ := got.Config["version"].(int32)
	err := admin.RunCommand(ctx, bson.D{
		{Key: "replSetReconfig", Value: bson.D{
			{Key: "_id", Value: got.Config["_id"]},
			{Key: "version", Value: version + 1},
			{Key: "protocolVersion", Value: 1},
			{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}},
			{Key: "settings", Value: got.Config["settings"]},
		}},
		{Key: "force", Value: true},
	}).Err()
	if err != nil {
		return false, fmt.Errorf("give the replica set its new address %s: %w", host, err)
	}
	return true, nil
}
