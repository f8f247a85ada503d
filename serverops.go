package rikki

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
)

// secondLook is how long after the first one operations are looked for again: a
// command may still have been on its way to the server.
const secondLook = 100 * time.Millisecond

// killConnections ends what the server does for connections that the client
// has closed. Their numbers are never used again, so it can't hit anybody else,
// which killing by session could: the driver hands sessions on.
func killConnections(ctx context.Context, client *mongo.Client, connections []int64) error {
	if len(connections) == 0 {
		return nil
	}
	match := bson.D{{Key: "connectionId", Value: bson.D{{Key: "$in", Value: connections}}}, {Key: "active", Value: true}}
	if _, err := killOps(ctx, client, match); err != nil {
		return err
	}
	timer := time.NewTimer(secondLook)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := killOps(ctx, client, match)
	return err
}

// killApp ends what the server still does for a program that is gone, and its
// open transactions. Programs that connect with an app name of their own aren't
// found.
func killApp(ctx context.Context, client *mongo.Client, appName string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
	defer cancel()
	sessions, err := killOps(ctx, client, bson.D{{Key: "appName", Value: appName}})
	return errors.Join(err, killSessions(ctx, client, sessions))
}

// killOps ends the operations of this account that match, and returns their
// sessions.
func killOps(ctx context.Context, client *mongo.Client, match bson.D) ([]bson.Binary, error) {
	admin := client.Database("admin", options.Database().SetReadConcern(readconcern.Local())) // $currentOp takes no other
	cursor, err := admin.Aggregate(ctx, mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{{Key: "idleSessions", Value: true}}}},
		{{Key: "$match", Value: match}},
		{{Key: "$project", Value: bson.D{{Key: "opid", Value: 1}, {Key: "lsid.id", Value: 1}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	var ops []struct {
		ID      any `bson:"opid"`
		Session struct {
			ID bson.Binary `bson:"id"`
		} `bson:"lsid"`
	}
	if err := cursor.All(ctx, &ops); err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	var sessions []bson.Binary
	var errs []error
	for _, op := range ops {
		if len(op.Session.ID.Data) > 0 {
			sessions = append(sessions, op.Session.ID)
		}
		if op.ID != nil {
			errs = append(errs, admin.RunCommand(ctx, bson.D{{Key: "killOp", Value: 1}, {Key: "op", Value: op.ID}}).Err())
		}
	}
	return sessions, errors.Join(errs...)
}

// killSessions ends what the server is doing for the given sessions, and their
// transactions. They must be nobody else's.
func killSessions(ctx context.Context, client *mongo.Client, sessions []bson.Binary) error {
	if len(sessions) == 0 {
		return nil
	}
	ids := make(bson.A, len(sessions))
	for i, id := range sessions {
		ids[i] = bson.D{{Key: "id", Value: id}}
	}
	err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "killSessions", Value: ids}}).Err()
	if err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return fmt.Errorf("kill sessions: %w", err)
	}
	return nil
}
