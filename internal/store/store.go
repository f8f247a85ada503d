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
	collNotifications = "notifications"
	collNotifying     = "notifying"

	collRuns  = "runs"
	collLogs  = "logs"
	collAudit = "audit"

	collPartitions = "partitions"
	collJournal    = "journal"
	collFailures   = "failures"

	collSchedules   = "schedules"
	collOccurrences = "occurrences"
)

// Collections lists them. Nobody else may write to these.
func Collections() []string {
	return []string{
		collNotifications, collNotifying, collRuns, collLogs, collAudit, collPartitions, collJournal, collFailures, collSchedules, collOccurrences,
	}
}

// Store reads and writes Rikki's own collections. It holds no state and is safe for concurrent use.
type Store struct {
	db *mongo.Database

	notifications *mongo.Collection
	notifying     *mongo.Collection

	runs  *mongo.Collection
	logs  *mongo.Collection
	audit *mongo.Collection

	partitions *mongo.Collection
	journal    *mongo.Collection
	failures   *mongo.Collection

	schedules   *mongo.Collection
	occurrences *mongo.Collection
}

// New returns the store in db. Whatever the client's settings, the store writes and reads with majority on the primary:
// an acknowledged record survives a fail-over.
func New(db *mongo.Database) *Store {
	db = db.Client().Database(db.Name(), options.Database().
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()))
	return &Store{
		notifications: db.Collection(collNotifications), notifying: db.Collection(collNotifying),
		db: db, runs: db.Collection(collRuns), logs: db.Collection(collLogs), audit: db.Collection(collAudit),
		partitions: db.Collection(collPartitions), journal: db.Collection(collJournal), failures: db.Collection(collFailures),
		schedules: db.Collection(collSchedules), occurrences: db.Collection(collOccurrences),
	}
}
