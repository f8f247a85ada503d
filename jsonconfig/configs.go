package jsonconfig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// The default collections.
const (
	DefaultCollection = "json_configs"
	DefaultVersions   = "json_config_versions"
)

// Options of [New]. The zero value is fine.
type Options struct {
	// Collection holds the configs. Default [DefaultCollection].
	Collection string

	// Versions is the collection of older versions. Default [DefaultVersions].
	Versions string

	// By says who makes the changes. Default: the environment variable
	// RIKKI_ACTOR, else the user of the operating system. See also [Configs.As].
	By string
}

// Configs are the config documents of a database. Its methods may be called
// from several goroutines, and with the context of a transaction; [Configs.Prepare]
// tells what that needs.
type Configs struct {
	configs  *mongo.Collection
	versions *mongo.Collection
	by       string
}

// In returns the configs of a database, with the default options. It does no
// input or output.
func In(db *mongo.Database) *Configs { return New(db, nil) }

// New returns the configs of a database. It does no input or output. opts may
// be nil.
func New(db *mongo.Database, opts *Options) *Configs {
	if opts == nil {
		opts = &Options{}
	}
	// The rules in doc.go hold with these only, whatever the URI says.
	safe := options.Collection().
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(writeconcern.Majority())
	return &Configs{
		configs:  db.Collection(cmp.Or(opts.Collection, DefaultCollection), safe),
		versions: db.Collection(cmp.Or(opts.Versions, DefaultVersions), safe),
		by:       opts.By,
	}
}

// As returns the same configs, to be changed in the name of who.
func (c *Configs) As(who string) *Configs {
	as := *c
	as.by = who
	return &as
}

// actor is who makes a change. Looking up the user can be slow, so only
// writing does it.
func (c *Configs) actor() string {
	if c.by != "" {
		return c.by
	}
	if actor := os.Getenv("RIKKI_ACTOR"); actor != "" {
		return actor
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return cmp.Or(os.Getenv("USER"), "unknown")
}

// keysIndex is the name of the index that makes slugs and aliases unique.
// Every write names it as a hint, so that the server refuses the write where
// the index is missing. That costs nothing and holds even when somebody drops
// the collection while this process runs.
const keysIndex = "keys_unique"

// Prepare builds what the first write otherwise builds on its own: the
// collections and the index. Call it before a change inside a transaction,
// which can't build an index, or with an account that may do more than the one
// that writes.
func (c *Configs) Prepare(ctx context.Context) error {
	_, err := c.configs.Indexes().CreateOne(ctx, mongo.IndexModel{
		Keys:    bson.D{{Key: "keys", Value: 1}},
		Options: options.Index().SetName(keysIndex).SetUnique(true),
	})
	if err != nil {
		return fmt.Errorf("build the unique index of %s: %w", c.configs.Name(), err)
	}
	db := c.versions.Database()
	db = db.Client().Database(db.Name(), options.Database().SetWriteConcern(writeconcern.Majority()))
	err = db.CreateCollection(ctx, c.versions.Name())
	if err != nil && !hasCode(err, codeNamespaceExists) {
		return fmt.Errorf("create the collection %s: %w", c.versions.Name(), err)
	}
	return nil
}

const (
	codeBadValue        = 2
	codeNamespaceExists = 48
	codeNoQueryPlan     = 291
)

func hasCode(err error, code int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && server.HasErrorCode(code)
}

// indexMissing tells whether the server refused a write for its hint. The code
// says bad value, which it says of much else as well.
func indexMissing(err error) bool {
	return hasCode(err, codeNoQueryPlan) ||
		hasCode(err, codeBadValue) && strings.Contains(err.Error(), "hint provided does not correspond")
}
