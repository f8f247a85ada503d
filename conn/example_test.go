package conn_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/conn"
)

func ExampleSource_With() {
	ctx := context.Background()
	source := conn.New(conn.Config{})
	err := source.With(ctx, func(ctx context.Context, ref *conn.Ref) error {
		_, err := ref.DB().Collection("users").InsertOne(ctx, bson.D{{Key: "name", Value: "Ada"}})
		return err
	})
	if err != nil {
		log.Print(err)
	}
}

func ExampleSource_Acquire() {
	ctx := context.Background()
	source := conn.Default()
	ref, err := source.Acquire(ctx)
	if failure, ok := errors.AsType[*conn.Error](err); ok {
		fmt.Fprintf(os.Stderr, "error: %s\n  why: %s\n  fix: %s\n", failure.What, failure.Why, failure.Fix)
		return
	}
	if err != nil {
		log.Print(err) // the context ended
		return
	}
	defer func() { _ = ref.Release(ctx) }()
	fmt.Println(ref.DB().Name())
}

func ExampleSource_URI() {
	source := conn.New(conn.Config{URI: "mongodb://app:s3cr3t@db1,db2/shop?replicaSet=rs0"})
	fmt.Println(source.URI(), source.Origin(), source.Database())
	// Output: mongodb://***@db1,db2/shop?replicaSet=rs0 Config shop
}

func ExampleSource_Watch() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	source := conn.New(conn.Config{KeepOpen: true})
	defer func() { _ = source.Close(context.WithoutCancel(ctx)) }()
	source.Watch(ctx, 5*time.Second, func(h conn.Health) {
		log.Printf("%s, %s, %v", h.State, h.Latency, h.Err)
	})
}

func ExampleError() {
	source := conn.New(conn.Config{URI: "mongodb://app:s3cr3t@db1/shop?connectTimeoutMS=soon"})
	_, err := source.Acquire(context.Background())
	if failure, ok := errors.AsType[*conn.Error](err); ok {
		fmt.Println(failure.What)
		fmt.Println(failure.Why)
	}
	fmt.Println(errors.Is(err, conn.ErrBadURI))
	// Output:
	// bad MongoDB URI mongodb://***@db1/shop?connectTimeoutMS=soon (from the program's configuration)
	// invalid value for "connectTimeoutMS": "soon"
	// true
}
