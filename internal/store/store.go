package store

import (
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// The names of the collections.
const (
	collRuns  = "runs"
	collLogs  = "logs"
	collAudit = "audit"
)

// Store reads and writes Rikki's own collections. It holds no state and is safe for concurrent use.
type Store struct {
	db    *mongo.Database
	runs  *mongo.Collection
	logs  *mongo.Collection
	audit *mongo.Collection
}

// New returns the store in db. Whatever the client's settings, the store writes and reads with majority on the primary:
// an acknowledged record survives a fail-over.
func New(db *mongo.Database) *Store {
	db = db.Client().Database(db.Name(), options.Database().
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()))
	return &Store{db: db, runs: db.Collection(collRuns), logs: db.Collection(collLogs), audit: db.Collection(collAudit)}
}
