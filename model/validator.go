package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// namespaceExists is the server's code for a collection that somebody created first.
const namespaceExists = 48

// rulebook is the part of a collection's options that this package looks after.
type rulebook struct {
	Validator bson.D `bson:"validator"`
	Level     Level  `bson:"validationLevel"`
	Action    Action `bson:"validationAction"`
}

func (d *Docs[T]) wantedRules() (rulebook, error) {
	validator, err := d.decl.Schema()
	return rulebook{Validator: validator, Level: cmp.Or(d.decl.Level, Strict), Action: cmp.Or(d.decl.Action, Refuse)}, err
}

// DiffValidator tells how the server's validator differs from the declared one, path by path. It changes nothing. A
// collection that does not exist yet is one that has no rules.
func (d *Docs[T]) DiffValidator(ctx context.Context) ([]Change, error) {
	want, err := d.wantedRules()
	if err != nil {
		return nil, err
	}
	have, _, err := d.currentRules(ctx)
	if err != nil {
		return nil, err
	}
	return diffRules(want, have)
}

// EnsureValidator makes the declared validator the server's, and returns what it changed. It creates the collection where it
// is missing. Documents that are already there are not checked; [Docs.CountInvalid] does that.
func (d *Docs[T]) EnsureValidator(ctx context.Context) ([]Change, error) {
	want, err := d.wantedRules()
	if err != nil {
		return nil, err
	}
	have, exists, err := d.currentRules(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := diffRules(want, have)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	if err := d.writeRules(ctx, want, exists); err != nil {
		return nil, fmt.Errorf("validator of %s: %w", d.decl.Name, err)
	}
	for i := range changes {
		changes[i].Applied = true
	}
	return changes, nil
}

func (d *Docs[T]) writeRules(ctx context.Context, want rulebook, exists bool) error {
	db := d.coll.Database()
	command := func(name string) error {
		return db.RunCommand(ctx, bson.D{
			{Key: name, Value: d.decl.Name},
			{Key: "validator", Value: want.Validator},
			{Key: "validationLevel", Value: want.Level},
			{Key: "validationAction", Value: want.Action},
			{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}},
		}).Err()
	}
	if !exists {
		err := command("create")
		var refused mongo.CommandError
		if !errors.As(err, &refused) || refused.Code != namespaceExists {
			return err
		}
	}
	return command("collMod")
}

// currentRules asks the server. Without a collection there are no rules.
func (d *Docs[T]) currentRules(ctx context.Context) (have rulebook, exists bool, err error) {
	cursor, err := d.coll.Database().ListCollections(ctx, bson.D{{Key: "name", Value: d.decl.Name}})
	if err != nil {
		return rulebook{}, false, err
	}
	var list []struct {
		Options rulebook `bson:"options"`
	}
	if err := cursor.All(ctx, &list); err != nil || len(list) == 0 {
		return rulebook{}, false, err
	}
	have = list[0].Options
	if have.Validator == nil {
		// The server answers with its defaults or with nothing, which is the same where there is nothing to check.
		return rulebook{}, true, nil
	}
	have.Level, have.Action = cmp.Or(have.Level, Strict), cmp.Or(have.Action, Refuse)
	return have, true, nil
}

// CountInvalid counts the documents that the declared validator would refuse today, up to limit; 0 means all. It reads the
// whole collection when there are fewer.
func (d *Docs[T]) CountInvalid(ctx context.Context, limit int64) (int64, error) {
	schema, err := d.decl.Schema()
	if err != nil {
		return 0, err
	}
	opts := options.Count()
	if limit > 0 {
		opts.SetLimit(limit)
	}
	return d.coll.CountDocuments(ctx, bson.D{{Key: "$nor", Value: bson.A{schema}}}, opts)
}

// diffRules compares two sets of rules path by path; the order of keys means nothing.
func diffRules(want, have rulebook) ([]Change, error) {
	wanted, err := flatten(want)
	if err != nil {
		return nil, err
	}
	there, err := flatten(have)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(wanted)
	maps.Copy(all, there)
	var changes []Change
	for _, path := range slices.Sorted(maps.Keys(all)) {
		w, wants := wanted[path]
		h, has := there[path]
		switch {
		case !has:
			changes = append(changes, Change{Kind: Missing, What: path, Want: w})
		case !wants:
			changes = append(changes, Change{Kind: Extra, What: path, Have: h})
		case w != h:
			changes = append(changes, Change{Kind: Different, What: path, Want: w, Have: h})
		}
	}
	return changes, nil
}

// flatten lists the leaves of the rules under their paths. It goes through BSON, so that both sides have the same types.
func flatten(rules rulebook) (map[string]string, error) {
	if rules.Validator == nil {
		return map[string]string{}, nil
	}
	data, err := bson.Marshal(rules.Validator)
	if err != nil {
		return nil, err
	}
	var validator bson.D
	if err := bson.Unmarshal(data, &validator); err != nil {
		return nil, err
	}
	leaves := map[string]string{}
	if rules.Level != "" {
		leaves["validationLevel"], leaves["validationAction"] = string(rules.Level), string(rules.Action)
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		doc, ok := v.(bson.D)
		if !ok || len(doc) == 0 {
			leaves[path] = text(v)
			return
		}
		for _, e := range doc {
			walk(path+"."+e.Key, e.Value)
		}
	}
	for _, e := range validator {
		walk(e.Key, e.Value)
	}
	return leaves, nil
}
