//go:build linux

package faultrig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.uber.org/goleak"
)

// leftCode is the exit code of a worker process that ended as it should, and left something open.
const leftCode = 3

// openFiles are the process's files and sockets, by number. What the Go runtime itself polls with doesn't count.
func openFiles() map[string]string {
	open := map[string]string{}
	fds, _ := filepath.Glob("/proc/self/fd/*") // the pattern is fine
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && !strings.HasPrefix(target, "anon_inode:") {
			open[fd] = target
		}
	}
	return open
}

// left is the part of invariant I7 that a process can tell of itself, when its work is over: no goroutine goes on, and no file or
// socket is open that was not open before.
func left(before map[string]string, ignore goleak.Option) error {
	errs := []error{goleak.Find(ignore)}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var last error
	_ = until(ctx, 2*time.Second, "files to be closed", func(context.Context) (bool, error) { // last tells
		last = nil
		for fd, target := range openFiles() {
			if before[fd] != target {
				last = errors.Join(last, fmt.Errorf("open: %s", target))
			}
		}
		return last == nil, nil
	})
	return errors.Join(append(errs, last)...)
}

// CheckNothingLeft is invariant I7 of programs that have ended, whether they were asked to or killed: soon the server has neither a
// connection nor a transaction of an app name that begins so, nor a cursor on a database that does,
// if one is named.
func CheckNothingLeft(ctx context.Context, client *mongo.Client, appName, database string, limit time.Duration) error {
	begins := func(prefix string) bson.D { return bson.D{{Key: "$regex", Value: "^" + prefix}} }
	match := bson.A{bson.D{{Key: "appName", Value: begins(appName)}}}
	if database != "" {
		match = append(match, bson.D{{Key: "type", Value: "idleCursor"}, {Key: "ns", Value: begins(database)}})
	}
	pipeline := mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{
			{Key: "allUsers", Value: true}, {Key: "idleConnections", Value: true}, {Key: "idleCursors", Value: true}, {Key: "idleSessions", Value: true},
		}}},
		{{Key: "$match", Value: bson.D{{Key: "$or", Value: match}}}},
		{{Key: "$project", Value: bson.D{{Key: "type", Value: 1}, {Key: "appName", Value: 1}, {Key: "ns", Value: 1}, {Key: "desc", Value: 1}, {Key: "client", Value: 1}}}},
	}
	admin := client.Database("admin", options.Database().SetReadConcern(readconcern.Local())) // $currentOp takes no other
	var v violations
	err := until(ctx, limit, "all to be closed", func(ctx context.Context) (bool, error) {
		cur, err := admin.Aggregate(ctx, pipeline)
		if err != nil {
			return false, err
		}
		var open []bson.D
		if err := cur.All(ctx, &open); err != nil {
			return false, err
		}
		v = violations{}
		for _, what := range open {
			v.add("%v", what)
		}
		return len(open) == 0, nil
	})
	if wrong := v.err("nothing is left open (I7)"); wrong != nil {
		return wrong
	}
	return err
}

// CheckNothingLeft looks at each member that is up.
func (s *Set) CheckNothingLeft(ctx context.Context, appName, database string, limit time.Duration) error {
	var errs []error
	for i, m := range s.nodes {
		if !s.down(i) {
			errs = append(errs, CheckNothingLeft(ctx, m.admin, appName, database, limit))
		}
	}
	return errors.Join(errs...)
}
