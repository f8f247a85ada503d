package jsonconfig

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Get returns the newest version of the config with this slug or alias, or
// [ErrNotFound].
func (c *Configs) Get(ctx context.Context, key string) (Config, error) {
	cur, err := c.find(ctx, key)
	if err != nil {
		return Config{}, err
	}
	if cur.Content.Deleted {
		return Config{}, &NotFoundError{Key: key, DeletedIn: cur.Version}
	}
	return cur.config(), nil
}

// GetAs returns the value of the config with this slug or alias as a T. It
// fails when the value doesn't fit T; fields that T does not know are ignored.
func GetAs[T any](ctx context.Context, configs *Configs, key string) (T, error) {
	var value T
	cfg, err := configs.Get(ctx, key)
	if err != nil {
		return value, err
	}
	if err := cfg.Decode(&value); err != nil {
		return value, fmt.Errorf("config %q, version %d: %w", cfg.Slug, cfg.Version, err)
	}
	return value, nil
}

// find returns the config with this key, even when it is deleted.
func (c *Configs) find(ctx context.Context, key string) (current, error) {
	var cur current
	err := c.configs.FindOne(ctx, bson.D{{Key: "keys", Value: key}}).Decode(&cur)
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return current{}, &NotFoundError{Key: key}
	case err != nil:
		return current{}, fmt.Errorf("read config %q: %w", key, err)
	}
	return cur, nil
}

// pageSize is how many configs or versions one query reads. Each page is a
// query of its own, so that a slow reader keeps no cursor open.
const pageSize = 50

// List returns all configs in the order of their slugs. After an error there
// is nothing more.
func (c *Configs) List(ctx context.Context) iter.Seq2[Config, error] {
	return func(yield func(Config, error) bool) {
		after := "" // compares with strings only, which all slugs are
		for {
			page, err := all[current](ctx, c.configs, bson.D{
				{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}},
				{Key: "deleted", Value: bson.D{{Key: "$exists", Value: false}}},
			}, 1)
			if err != nil {
				yield(Config{}, fmt.Errorf("list configs: %w", err))
				return
			}
			for _, cur := range page {
				if !yield(cur.config(), nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1].Slug
		}
	}
}

// all reads one page in the order of _id, or against it.
func all[T any](ctx context.Context, from *mongo.Collection, filter bson.D, order int) ([]T, error) {
	cursor, err := from.Find(ctx, filter, options.Find().
		SetSort(bson.D{{Key: "_id", Value: order}}).
		SetLimit(pageSize))
	if err != nil {
		return nil, err
	}
	var page []T
	err = cursor.All(ctx, &page)
	return page, err
}
