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
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
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
		return s.because(ctx, err)
	}
	return nil
}

// because returns the better explanation of a failed conversation: that mongod
// is dying, which its watcher may need a moment to see.
func (s *Server) because(ctx context.Context, err error) error {
	const moment = 2 * time.Second
	for begun := time.Now(); time.Since(begun) < moment; {
		if lost := s.lost(); lost != nil {
			return lost
		}
		if cause := pause(ctx, readyPoll); cause != nil {
			return cause
		}
	}
	return err
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
}

// primary makes the node the primary of its own set, and waits for it. A new
// node is initiated; one that was before elects itself. The election timeout
// is the server's own: alone in its set a node never waits for it.
func (s *Server) primary(ctx context.Context, admin *mongo.Database) error {
	initiated := false
	for {
		var h hello
		err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&h)
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil: // it closes connections when its state changes
		case h.Writable:
			return nil
		case h.Set == "" && !initiated:
			if err := s.initiate(ctx, admin); err != nil {
				return err
			}
			initiated = true
			continue
		}
		if err := s.lost(); err != nil {
			return err
		}
		if err := pause(ctx, readyPoll); err != nil {
			return err
		}
	}
}

// member is the node's address in its set's configuration.
func member(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (s *Server) initiate(ctx context.Context, admin *mongo.Database) error {
	err := admin.RunCommand(ctx, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: replicaSet},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: member(s.spec.Port)}}}},
	}}}).Err()
	const alreadyInitialized = 23 // it was still reading its configuration
	var se mongo.CommandError
	if err != nil && (!errors.As(err, &se) || se.Code != alreadyInitialized) {
		return fmt.Errorf("initiate the replica set: %w", err)
	}
	return nil
}

// move gives the set's configuration another address, by way of a start as a
// plain server. Left alone, the node would not find itself in its set; and
// while it looks, it waits for whoever has its former port now.
func (s *Server) move(ctx context.Context, to int) error {
	s.opts.Log.DebugContext(ctx, "mongod moves to another port", "port", to)
	if err := s.spawn(ctx); err != nil {
		return err
	}
	client, err := s.direct()
	if err != nil {
		return err
	}
	defer client.Disconnect(context.WithoutCancel(ctx)) //nolint:errcheck // the write was acknowledged
	sets := client.Database("local").Collection("system.replset",
		options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1, Journal: new(true)}))
	_, err = sets.UpdateOne(ctx, bson.D{{Key: "_id", Value: replicaSet}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "members.0.host", Value: member(to)}}}})
	if err != nil {
		return fmt.Errorf("give the replica set its new address %s: %w", member(to), err)
	}
	return s.shut(ctx)
}
