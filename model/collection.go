package model

import (
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// Collection declares a collection of documents of type T, a struct. It does no input or output; declare it in a package
// variable and share it.
type Collection[T any] struct {
	// Name is the collection's name.
	Name string

	// Indexes are the indexes it should have, beside the one on _id.
	Indexes []Index

	// Level says which documents the validator looks at; empty means [Strict].
	Level Level

	// Action says what becomes of an invalid document; empty means [Refuse].
	Action Action
}

// Level is a collection's validationLevel.
type Level string

// The levels.
const (
	// Strict checks every insert and update.
	Strict Level = "strict"
	// Moderate leaves alone updates of documents that were invalid before.
	Moderate Level = "moderate"
)

// Action is a collection's validationAction.
type Action string

// The actions.
const (
	// Refuse fails the write.
	Refuse Action = "error"
	// Warn lets the write pass and logs it on the server.
	Warn Action = "warn"
)

// In returns the collection's documents in a database. It does no input or output. Writes are acknowledged by a
// majority, whatever the database's own setting, so that a script's work survives a failover.
func (c Collection[T]) In(db *mongo.Database) *Docs[T] {
	return &Docs[T]{decl: c, coll: db.Collection(c.Name, options.Collection().SetWriteConcern(writeconcern.Majority()))}
}
