package backfill

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// A chunk's documents are selected once. What is changed, journaled and counted are those, whatever the filter would select a moment
// later: it can go by chance or by the time.

// errSelection says that a change didn't find the documents that were read.
var errSelection = errors.New("the change found other documents than those that were read")

// selection is which documents a chunk has.
type selection struct {
	ids, keys []bson.RawValue
	last      bson.RawValue // the greatest key; zero if there are none
	end       bool          // there is nothing behind
}

// selected reads the next n documents' _ids and keys, and no more of them.
func (e *engine) selected(ctx context.Context, p store.Partition, n, bytes int) (selection, error) {
	projection := bson.D{{Key: "_id", Value: 1}}
	if e.opts.Key != "_id" {
		projection = append(projection, bson.E{Key: e.opts.Key, Value: 1})
	}
	cur, err := e.query(ctx, append(e.next(e.rest(p), n), bson.E{Key: "projection", Value: projection}))
	if err != nil {
		return selection{}, err
	}
	b, err := e.collect(ctx, cur, n, bytes, &sizes{})
	return selection{ids: idsOf(b.items), keys: b.keys, last: b.last, end: b.end}, err
}

// isPlain tells whether a filter depends on nothing but the document: not on chance, the time, or code. What isn't known to be plain
// isn't.
func isPlain(filter any) bool {
	data, err := bson.Marshal(filter)
	return err == nil && plainFilter(data)
}

func plainFilter(doc bson.Raw) bool {
	elements, err := doc.Elements()
	if err != nil {
		return false
	}
	for _, e := range elements {
		if strings.HasPrefix(e.Key(), "$") && !slices.Contains(plainOperators(), e.Key()) {
			return false
		}
		nested, ok := e.Value().DocumentOK()
		if array, isArray := e.Value().ArrayOK(); isArray {
			nested, ok = bson.Raw(array), true
		}
		if ok && !plainFilter(nested) {
			return false
		}
	}
	return true
}

// plainOperators compare a document's values with those in the filter.
func plainOperators() []string {
	return []string{
		"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$type", "$mod", "$size", "$all", "$elemMatch", "$regex", "$options",
		"$not", "$and", "$or", "$nor", "$comment", "$bitsAllClear", "$bitsAllSet", "$bitsAnyClear", "$bitsAnySet",
	}
}

// isPositional tells whether an update changes that element of an array which the filter finds.
func isPositional(update bson.Raw) bool {
	operators, _ := update.Elements()
	for _, operator := range operators {
		fields, _ := operator.Value().DocumentOK()
		elements, _ := fields.Elements()
		for _, e := range elements {
			if slices.Contains(strings.Split(e.Key(), "."), "$") {
				return true
			}
		}
	}
	return false
}
