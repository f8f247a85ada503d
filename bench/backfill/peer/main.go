// Command peer is the contestants that are written in Go:
//
//	peer naive N        one UpdateOne for each of the first N documents
//	peer bulk-go        a cursor and unordered bulk writes of 1,000
//	peer updatemany     the server's updateMany with a pipeline
//	peer rikki SCRIPT JOURNAL [RUN]    a script of Rikki's, or the rest of a run of it
//	peer step STEP SCRIPT RUN PARAMS   what follows a run: its failures, the retry of them, its undo
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if args[0] == "step" {
		args = append(args, "", "")
		return runStep(ctx, args[1], args[2], args[3], args[4])
	}
	if args[0] == "rikki" {
		return runRikki(ctx, args[1], args[2], strings.Join(args[3:], ""))
	}
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")).SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(ctx)) }()
	users := client.Database("bench").Collection("users")
	var changed int64
	switch args[0] {
	case "naive":
		var n int
		if n, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
		changed, err = naive(ctx, users, n)
	case "bulk-go":
		changed, err = bulk(ctx, users)
	case "updatemany":
		var res *mongo.UpdateResult
		if res, err = users.UpdateMany(ctx, bson.D{}, lowercase()); err == nil {
			changed = res.ModifiedCount
		}
	}
	fmt.Println(changed)
	return err
}

// lowercase is the pipeline that does what all contestants do.
func lowercase() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "email", Value: bson.D{{Key: "$toLower", Value: "$email"}}}}}}}
}

// User is what a script would know of a document.
type User struct {
	ID     bson.ObjectID `bson:"_id"`
	Email  string        `bson:"email"`
	Name   string        `bson:"name"`
	Active bool          `bson:"active"`
}

func change(u User) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: "email", Value: strings.ToLower(u.Email)}}}}
}

func naive(ctx context.Context, users *mongo.Collection, n int) (changed int64, err error) {
	cur, err := users.Find(ctx, bson.D{}, options.Find().SetLimit(int64(n)))
	if err != nil {
		return 0, err
	}
	for cur.Next(ctx) {
		var u User
		if err := cur.Decode(&u); err != nil {
			return changed, err
		}
		res, err := users.UpdateOne(ctx, bson.D{{Key: "_id", Value: u.ID}}, change(u))
		if err != nil {
			return changed, err
		}
		changed += res.ModifiedCount
	}
	return changed, errors.Join(cur.Err(), cur.Close(ctx))
}

func bulk(ctx context.Context, users *mongo.Collection) (changed int64, err error) {
	cur, err := users.Find(ctx, bson.D{})
	if err != nil {
		return 0, err
	}
	var models []mongo.WriteModel
	write := func() error {
		if len(models) == 0 {
			return nil
		}
		res, err := users.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		if err != nil {
			return err
		}
		changed += res.ModifiedCount
		models = models[:0]
		return nil
	}
	for cur.Next(ctx) {
		var u User
		if err := cur.Decode(&u); err != nil {
			return changed, err
		}
		models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: u.ID}}).SetUpdate(change(u)))
		if len(models) == 1000 {
			if err := write(); err != nil {
				return changed, err
			}
		}
	}
	return changed, errors.Join(write(), cur.Err(), cur.Close(ctx))
}
