package jsonconfig

import (
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Config is one version of a config document.
type Config struct {
	// Slug names the config and never changes.
	Slug string

	// Aliases are further names of it.
	Aliases []string

	// Name and Description are for people.
	Name        string
	Description string

	// Value is a [bson.RawValue] when the config was read. To write, set it to
	// whatever the driver can encode as a BSON value. See also [FromJSON].
	Value any

	// Version counts from 1. [Configs.Put] expects it to be the newest.
	Version int64

	// By, Why and At tell who made this version, for which reason and when, by
	// the server's clock. Writing ignores what they hold.
	By  string
	Why string
	At  time.Time

	// Deleted marks a version that has no value because the config was deleted.
	// Only [Configs.History] and [Configs.Version] return one.
	Deleted bool
}

// Decode stores the value in what v points to, by its bson tags, else its json
// tags.
func (c Config) Decode(v any) error {
	raw, err := encode(c.Value)
	if err != nil {
		return err
	}
	return decode(raw, v)
}

// content is what a version consists of, as stored. The newest version and the
// copies of older ones share it.
type content struct {
	Keys        []string      `bson:"keys"` // the slug, then the aliases
	Name        string        `bson:"name,omitempty"`
	Description string        `bson:"description,omitempty"`
	Value       bson.RawValue `bson:"value,omitempty"`
	By          string        `bson:"by,omitempty"`
	Why         string        `bson:"why,omitempty"`
	At          *time.Time    `bson:"at,omitempty"` // nil while the server has yet to fill it in
	Deleted     bool          `bson:"deleted,omitempty"`
}

// current is a config with its newest version.
type current struct {
	Slug    string  `bson:"_id"`
	Version int64   `bson:"version"`
	Content content `bson:",inline"`
}

// copyID orders the copies of one config by version, so that the index that
// every collection has serves history too.
type copyID struct {
	Config  string `bson:"config"`
	Version int64  `bson:"version"`
}

// copied is the copy of an older version.
type copied struct {
	ID      copyID  `bson:"_id"`
	Content content `bson:",inline"`
}

func (c current) config() Config { return c.Content.config(c.Slug, c.Version) }

func (c copied) config() Config { return c.Content.config(c.ID.Config, c.ID.Version) }

func (c content) config(slug string, version int64) Config {
	cfg := Config{
		Slug:        slug,
		Name:        c.Name,
		Description: c.Description,
		Version:     version,
		By:          c.By,
		Why:         c.Why,
		Deleted:     c.Deleted,
	}
	if len(c.Keys) > 1 {
		cfg.Aliases = slices.Clone(c.Keys[1:])
	}
	if !c.Value.IsZero() {
		cfg.Value = c.Value
	}
	if c.At != nil {
		cfg.At = c.At.UTC()
	}
	return cfg
}
