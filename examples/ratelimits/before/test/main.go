// Command test is test-error-rate-limiting as it was before Rikki: the script
// looks after its own connection, flags, timeout and signals. It is here to be
// compared with ../../test.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/joho/godotenv"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/examples/ratelimits"
	"github.com/rikki-go/rikki/jsonconfig"
)

func main() {
	extra := flag.Int("extra", 5, "requests to send beyond each limit")
	workers := flag.Int("workers", 4, "requests under way at a time")
	timeout := flag.Int("timeout", 300000, "milliseconds")
	flag.Parse()
	if *extra < 1 || *workers < 1 {
		log.Fatal("extra and workers must be positive")
	}

	if err := godotenv.Load(); err != nil && !os.IsNotExist(err) {
		log.Fatalf("read .env: %v", err)
	}
	uri := os.Getenv("MONGODB_URI")
	if uri == "" {
		uri = os.Getenv("MONGO_URI")
	}
	if uri == "" {
		uri = "mongodb://localhost:27017/myappdb"
	}
	database := os.Getenv("MONGODB_DATABASE")
	if database == "" {
		database = "myappdb"
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*timeout)*time.Millisecond)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		log.Print("interrupted")
		cancel()
	}()

	client, err := mongo.Connect(options.Client().
		ApplyURI(uri).
		SetServerSelectionTimeout(5 * time.Second).
		SetMaxPoolSize(2))
	if err != nil {
		log.Printf("connect: %v", err)
		os.Exit(1)
	}
	if err := client.Ping(ctx, nil); err != nil {
		log.Printf("connect: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	log.Print("database connected")
	db := client.Database(database)

	cfg, err := jsonconfig.In(db).Get(ctx, ratelimits.Slug)
	if err != nil {
		log.Printf("read the config: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	limits, has, err := ratelimits.Of(cfg)
	if err != nil {
		log.Printf("read the limits: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	if !has {
		log.Print("the config has no limits of error reports: run init-error-rate-limiters first")
		disconnect(client)
		os.Exit(1)
	}

	limiter := ratelimits.NewLimiter(db)
	key := fmt.Sprintf("test/%d-%d/", os.Getpid(), time.Now().UnixNano())
	for _, limit := range limits.All() {
		outcome, err := ratelimits.Trial{
			Allow: limiter.Allow, Key: key + limit.Name, Limit: limit, Extra: *extra, Workers: *workers,
		}.Run(ctx)
		if err != nil {
			log.Printf("try the limits: %v", err)
			cleanUp(limiter, key)
			disconnect(client)
			os.Exit(1)
		}
		fmt.Printf("%s: %d allowed, %d refused\n", limit.Name, outcome.Allowed, outcome.Refused)
	}
	cleanUp(limiter, key)
	disconnect(client)
}

func cleanUp(limiter *ratelimits.Limiter, key string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := limiter.Forget(ctx, key); err != nil {
		log.Printf("clean up: %v", err)
	}
}

func disconnect(client *mongo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := client.Disconnect(ctx); err != nil {
		log.Printf("disconnect: %v", err)
		return
	}
	log.Print("database connection closed")
}
