package jsonconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Create stores a new config and returns it with its version. It fails with
// [ErrConflict] when the slug or an alias is taken. A deleted config's slug is
// free for its successor, which goes on with its versions. why may be empty.
func (c *Configs) Create(ctx context.Context, cfg Config, why string) (Config, error) {
	next, err := c.draft(cfg, why)
	if err != nil {
		return Config{}, err
	}
	// No config has version 0, so this inserts or fails.
	created, err := c.replace(ctx, cfg.Slug, 0, next)
	conflict := (*ConflictError)(nil)
	if !errors.As(err, &conflict) || conflict.Key != cfg.Slug {
		return created, err
	}
	old, findErr := c.find(ctx, cfg.Slug)
	if findErr != nil || old.Slug != cfg.Slug || !old.Content.Deleted {
		return Config{}, errors.Join(err, ignoreNotFound(findErr))
	}
	return c.change(ctx, old, next)
}

// Put stores a new version of a config that was read before, with all of its
// fields, and returns it. It fails with [ErrConflict] when cfg.Version is not
// the newest or an alias is taken, and with [ErrNotFound] when the config is
// gone. why may be empty.
func (c *Configs) Put(ctx context.Context, cfg Config, why string) (Config, error) {
	next, err := c.draft(cfg, why)
	if err != nil {
		return Config{}, err
	}
	old, err := c.expect(ctx, cfg.Slug, cfg.Version)
	if err != nil {
		return Config{}, err
	}
	if old.Slug != cfg.Slug {
		return Config{}, &InvalidError{Slug: cfg.Slug, Problems: []string{
			fmt.Sprintf("this is an alias of %q: set Slug to that", old.Slug),
		}}
	}
	if old.Content.Deleted {
		return Config{}, &NotFoundError{Key: cfg.Slug, DeletedIn: old.Version}
	}
	return c.change(ctx, old, next)
}

// Delete removes the config with this slug or alias if its newest version is
// the expected one. Its history stays. why may be empty.
func (c *Configs) Delete(ctx context.Context, key string, expected int64, why string) error {
	old, err := c.expect(ctx, key, expected)
	if err != nil {
		return err
	}
	if old.Content.Deleted {
		return &NotFoundError{Key: key, DeletedIn: old.Version}
	}
	// The slug stays taken, or history would mix two configs. Aliases are free.
	_, err = c.change(ctx, old, content{Keys: []string{old.Slug}, Deleted: true, By: c.actor(), Why: why})
	return err
}

// Revert makes an older version's content the newest version of the config
// with this slug or alias, if its newest version is the expected one. A
// deleted config comes back that way. why may be empty.
func (c *Configs) Revert(ctx context.Context, key string, to, expected int64, why string) (Config, error) {
	old, err := c.expect(ctx, key, expected)
	if err != nil {
		return Config{}, err
	}
	target, err := c.version(ctx, old, key, to)
	if err != nil {
		return Config{}, err
	}
	if target.Content.Deleted {
		return Config{}, &InvalidError{Slug: old.Slug, Problems: []string{
			fmt.Sprintf("version %d deleted the config and has no value: choose another version", to),
		}}
	}
	next := target.Content
	next.By, next.Why, next.At = c.actor(), why, nil
	return c.change(ctx, old, next)
}

// draft is the content of a version to be written.
func (c *Configs) draft(cfg Config, why string) (content, error) {
	next, err := contentOf(cfg)
	if err != nil {
		return content{}, err
	}
	next.By, next.Why = c.actor(), why
	return next, nil
}

// expect returns the config if its newest version is the expected one.
func (c *Configs) expect(ctx context.Context, key string, version int64) (current, error) {
	cur, err := c.find(ctx, key)
	if err != nil {
		return current{}, err
	}
	if cur.Version != version {
		return current{}, &ConflictError{Slug: cur.Slug, Expected: version, Actual: cur.Version}
	}
	return cur, nil
}

// change replaces a version by the next one, in the order that doc.go explains:
// only once the old version is copied may it be replaced.
func (c *Configs) change(ctx context.Context, old current, next content) (Config, error) {
	if err := c.keep(ctx, old); err != nil {
		return Config{}, err
	}
	return c.replace(ctx, old.Slug, old.Version, next)
}

// keep copies a version that is about to be replaced. Whoever copied it before
// copied the same.
func (c *Configs) keep(ctx context.Context, old current) error {
	id := copyID{Config: old.Slug, Version: old.Version}
	_, err := c.versions.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: id}},
		bson.D{{Key: "$setOnInsert", Value: old.Content}},
		options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("keep version %d of config %q: %w", old.Version, old.Slug, err)
	}
	return nil
}

// replace writes the version after the expected one, building the index if
// need be.
func (c *Configs) replace(ctx context.Context, slug string, expected int64, next content) (Config, error) {
	at, err := c.compareAndSet(ctx, slug, expected, next)
	if indexMissing(err) {
		if err := c.Prepare(ctx); err != nil {
			return Config{}, err
		}
		at, err = c.compareAndSet(ctx, slug, expected, next)
	}
	if err != nil {
		return Config{}, c.explain(ctx, slug, expected, err)
	}
	next.At = &at
	return next.config(slug, expected+1), nil
}

// compareAndSet is the one write that makes a version: it replaces the
// expected one, or inserts the first when 0 is expected. It returns the
// server's time.
func (c *Configs) compareAndSet(ctx context.Context, slug string, expected int64, next content) (time.Time, error) {
	filter := bson.D{
		{Key: "_id", Value: slug},
		{Key: "keys", Value: slug}, // for the hint
		{Key: "version", Value: expected},
	}
	// A literal, so that a value with a dollar sign is data and no expression.
	update := mongo.Pipeline{{{Key: "$replaceWith", Value: bson.D{{Key: "$mergeObjects", Value: bson.A{
		bson.D{{Key: "$literal", Value: current{Slug: slug, Version: expected + 1, Content: next}}},
		bson.D{{Key: "at", Value: "$$NOW"}},
	}}}}}}
	var written struct {
		At time.Time `bson:"at"`
	}
	err := c.configs.FindOneAndUpdate(ctx, filter, update, options.FindOneAndUpdate().
		SetUpsert(expected == 0).
		SetHint(keysIndex).
		SetReturnDocument(options.After).
		SetProjection(bson.D{{Key: "at", Value: 1}})).Decode(&written)
	return written.At, err
}

// explain turns the outcome of a failed compareAndSet into one of this
// package's errors.
func (c *Configs) explain(ctx context.Context, slug string, expected int64, err error) error {
	key, taken := takenKey(err)
	switch {
	case taken:
		conflict := &ConflictError{Slug: slug, Key: key, Expected: expected}
		if owner, findErr := c.find(ctx, key); findErr == nil {
			conflict.Owner, conflict.Actual = owner.Slug, owner.Version
		}
		return conflict
	case errors.Is(err, mongo.ErrNoDocuments): // the filter no longer matches
		cur, findErr := c.find(ctx, slug)
		if findErr != nil {
			return findErr
		}
		return &ConflictError{Slug: slug, Expected: expected, Actual: cur.Version}
	default:
		return fmt.Errorf("write version %d of config %q: %w", expected+1, slug, err)
	}
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
