package jsonconfig

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// History returns all versions of the config with this slug or alias, the
// newest first. That of a deleted config is found by its slug. After an error
// there is nothing more.
func (c *Configs) History(ctx context.Context, key string) iter.Seq2[Config, error] {
	return func(yield func(Config, error) bool) {
		cur, err := c.find(ctx, key)
		if err != nil {
			yield(Config{}, err)
			return
		}
		if !yield(cur.config(), nil) {
			return
		}
		before := cur.Version
		for before > 1 {
			page, err := all[copied](ctx, c.versions, olderThan(cur.Slug, before), -1)
			if err != nil {
				yield(Config{}, fmt.Errorf("read the history of config %q: %w", cur.Slug, err))
				return
			}
			for _, old := range page {
				if !yield(old.config(), nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			before = page[len(page)-1].ID.Version
		}
	}
}

// olderThan matches the copies of versions below one. A copy of the newest
// version itself may exist, see doc.go, but is not older than it.
func olderThan(slug string, version int64) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: copyID{Config: slug, Version: 1}},
		{Key: "$lt", Value: copyID{Config: slug, Version: version}},
	}}}
}

// Version returns one version of the config with this slug or alias.
func (c *Configs) Version(ctx context.Context, key string, version int64) (Config, error) {
	cur, err := c.find(ctx, key)
	if err != nil {
		return Config{}, err
	}
	got, err := c.version(ctx, cur, key, version)
	return got.config(), err
}

// version returns the given version of a config whose newest one is known.
func (c *Configs) version(ctx context.Context, cur current, key string, version int64) (current, error) {
	if version == cur.Version {
		return cur, nil
	}
	missing := &NotFoundError{Key: key, Version: version}
	if version < 1 || version > cur.Version {
		return current{}, missing
	}
	var old copied
	id := copyID{Config: cur.Slug, Version: version}
	err := c.versions.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&old)
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return current{}, missing
	case err != nil:
		return current{}, fmt.Errorf("read version %d of config %q: %w", version, cur.Slug, err)
	}
	return current{Slug: cur.Slug, Version: version, Content: old.Content}, nil
}
