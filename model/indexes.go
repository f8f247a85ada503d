package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ErrIndexDiffers is returned by [Docs.EnsureIndexes] when an index of the server is not as declared, and
// [IndexOptions.Rebuild] does not ask for it to be dropped and built again.
var ErrIndexDiffers = errors.New("an index differs from its declaration")

// IndexOptions let [Docs.EnsureIndexes] drop indexes. Nil drops none.
type IndexOptions struct {
	// Rebuild drops an index that differs and builds it as declared. In between there is none: queries may scan, and a
	// unique index guards nothing.
	Rebuild bool
	// DropExtra drops indexes that are not declared.
	DropExtra bool
}

// DiffIndexes tells how the server's indexes differ from the declared ones: what [Docs.EnsureIndexes] would create, and
// what it would leave alone unless asked. It changes nothing.
func (d *Docs[T]) DiffIndexes(ctx context.Context) ([]Change, error) {
	_, changes, err := d.diffIndexes(ctx)
	return changes, err
}

// EnsureIndexes creates the indexes that are missing and returns all differences; those that it settled are marked Applied. It
// drops nothing unless opts, which may be nil, says so. Indexes that differ and stay are an [ErrIndexDiffers]; extra ones are
// not an error.
func (d *Docs[T]) EnsureIndexes(ctx context.Context, opts *IndexOptions) ([]Change, error) {
	if opts == nil {
		opts = &IndexOptions{}
	}
	plan, changes, err := d.diffIndexes(ctx)
	if err != nil {
		return nil, err
	}
	var differ []string
	for i := range changes {
		switch c := &changes[i]; {
		case c.Kind == Different && !opts.Rebuild:
			differ = append(differ, c.String())
			continue
		case c.Kind == Extra && !opts.DropExtra:
			continue
		default:
			if err := d.apply(ctx, plan[i]); err != nil {
				return changes, fmt.Errorf("index %s of %s: %w", c.What, d.decl.Name, err)
			}
			c.Applied = true
		}
	}
	if differ != nil {
		return changes, fmt.Errorf("%w: %s of %s; change the declaration, or have it rebuilt", ErrIndexDiffers, strings.Join(differ, "; "), d.decl.Name)
	}
	return changes, nil
}

// step is how a change is made: drop, then create; either may be missing.
type step struct {
	drop   []string
	create *spec
}

func (d *Docs[T]) apply(ctx context.Context, s step) error {
	for _, name := range s.drop {
		if err := d.coll.Indexes().DropOne(ctx, name); err != nil {
			return err
		}
	}
	if s.create == nil {
		return nil
	}
	// The command, for a declaration is the command's own document; the driver's builders would only rewrap it. The commit
	// quorum, not a write concern, is what an index build waits for: by default, every voting member.
	return d.coll.Database().RunCommand(ctx, bson.D{
		{Key: "createIndexes", Value: d.decl.Name},
		{Key: "indexes", Value: []spec{*s.create}},
	}).Err()
}

// diffIndexes returns the changes, and beside each of them the step that makes it.
func (d *Docs[T]) diffIndexes(ctx context.Context) ([]step, []Change, error) {
	wanted, err := d.decl.specs()
	if err != nil {
		return nil, nil, err
	}
	cursor, err := d.coll.Indexes().List(ctx)
	if err != nil {
		return nil, nil, err
	}
	var have []spec
	if err := cursor.All(ctx, &have); err != nil {
		return nil, nil, err
	}
	have = slices.DeleteFunc(have, func(s spec) bool { return s.Name == "_id_" })
	used := map[string]bool{}
	var steps []step
	var changes []Change
	add := func(c Change, s step) { changes, steps = append(changes, c), append(steps, s) }
	for i, want := range wanted {
		match := d.match(want, d.decl.Indexes[i].Name != "", have, used)
		if len(match) == 0 {
			add(Change{Kind: Missing, What: want.Name, Want: want.String()}, step{create: &wanted[i]})
			continue
		}
		used[match[0].Name] = true
		if len(match) == 1 && want.same(match[0]) && (d.decl.Indexes[i].Name == "" || want.Name == match[0].Name) {
			continue
		}
		var drop, texts []string
		for _, m := range match {
			used[m.Name] = true
			drop, texts = append(drop, m.Name), append(texts, m.Name+" "+m.String())
		}
		add(Change{Kind: Different, What: want.Name, Want: want.String(), Have: strings.Join(texts, ", ")}, step{drop: drop, create: &wanted[i]})
	}
	for _, h := range have {
		if !used[h.Name] {
			add(Change{Kind: Extra, What: h.Name, Have: h.String()}, step{drop: []string{h.Name}})
		}
	}
	return steps, changes, nil
}

// match finds what stands in the place of a wanted index: the same index, though it may have another name; or what the server
// would not let stand beside it, which has its name, or its keys without a filter or collation of its own.
func (*Docs[T]) match(want spec, named bool, have []spec, used map[string]bool) []spec {
	for _, h := range have {
		if !used[h.Name] && want.same(h) && (!named || h.Name == want.Name) {
			return []spec{h}
		}
	}
	var rivals []spec
	for _, h := range have {
		sameIdentity := want.sameKey(h) && text(want.Partial) == text(h.Partial) && want.sameCollation(h)
		if !used[h.Name] && (h.Name == want.Name || sameIdentity) {
			rivals = append(rivals, h)
		}
	}
	return rivals
}
