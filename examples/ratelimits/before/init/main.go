// Command init is init-error-rate-limiters as it was before Rikki: the script
// looks after its own connection, flags, timeout and signals. It is here to be
// compared with ../../init.
package main

import (
	"context"
	"errors"
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
	force := flag.Bool("force", false, "overwrite limits that are there already")
	dryRun := flag.Bool("dryRun", false, "only say what would change")
	timeout := flag.Int("timeout", 60000, "milliseconds")
	flag.Parse()

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

	configs := jsonconfig.In(db)
	old, err := configs.Get(ctx, ratelimits.Slug)
	missing := errors.Is(err, jsonconfig.ErrNotFound)
	if missing {
		old = ratelimits.New()
	} else if err != nil {
		log.Printf("read the config: %v", err)
		disconnect(client)
		os.Exit(1)
	}

	if _, has, err := ratelimits.Of(old); has && !*force {
		log.Print("the limits are there already; -force overwrites them")
		disconnect(client)
		return
	} else if err != nil && !*force {
		log.Printf("read the limits: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	next, err := ratelimits.With(old, ratelimits.Defaults())
	if err != nil {
		log.Printf("add the limits: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	changes, err := jsonconfig.Diff(old, next)
	if err != nil {
		log.Printf("compare the configs: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	for _, change := range changes {
		fmt.Println(change)
	}
	if *dryRun || len(changes) == 0 {
		disconnect(client)
		return
	}

	if err := ratelimits.NewLimiter(db).Prepare(ctx); err != nil {
		log.Printf("prepare the limiter: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	if missing {
		_, err = configs.Create(ctx, next, "init-error-rate-limiters")
	} else {
		_, err = configs.Put(ctx, next, "init-error-rate-limiters")
	}
	if err != nil {
		log.Printf("write the config: %v", err)
		disconnect(client)
		os.Exit(1)
	}
	log.Print("the limits are initialized")
	disconnect(client)
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
