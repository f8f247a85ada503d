package backfill

import (
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Change is what shall become of one document. The zero value and [None] leave
// it as it is. Make one with [Set], [Unset], [Update], [Replace] or [Delete], and
// add writes to other collections with [Change.Also].
type Change struct {
	kind    changeKind
	set     bson.D
	unset   []string
	update  any // an update document or a pipeline
	replace any
	upsert  bool
	target  any // the _id of the document; nil means the one that was read
	also    []write
}

type changeKind int

const (
	changeNone changeKind = iota
	changeFields
	changeUpdate
	changeReplace
	changeDelete
)

// None leaves the document as it is.
func None() Change { return Change{} }

// Set sets a field, given by its path as in MongoDB's $set. More fields are set
// with [Change.Set]. A document that has all the values already is not written.
func Set(path string, value any) Change { return Change{}.Set(path, value) }

// Unset removes fields, given by their paths.
func Unset(paths ...string) Change { return Change{}.Unset(paths...) }

// Set sets one more field.
func (c Change) Set(path string, value any) Change {
	c.kind = changeFields
	c.set = append(slices.Clip(c.set), bson.E{Key: path, Value: value})
	return c
}

// Unset removes more fields.
func (c Change) Unset(paths ...string) Change {
	c.kind = changeFields
	c.unset = append(slices.Clip(c.unset), paths...)
	return c
}

// Update applies an update document such as {"$inc": {"n": 1}}, or an
// aggregation pipeline ([mongo.Pipeline]). A document without operators is
// refused: that is [Replace].
func Update(update any) Change { return Change{kind: changeUpdate, update: update} }

// Replace replaces the whole document but for its _id.
func Replace(doc any) Change { return Change{kind: changeReplace, replace: doc} }

// Upsert replaces the whole document but for its _id, or inserts it if there is
// none.
func Upsert(doc any) Change { return Change{kind: changeReplace, replace: doc, upsert: true} }

// Delete deletes the document.
func Delete() Change { return Change{kind: changeDelete} }

// For makes the change one of the document with this _id, for sources whose
// items are not the documents themselves, such as the rows of a file.
func (c Change) For(id any) Change {
	c.target = id
	return c
}

// Also writes to another collection in the same transaction, and in the undo
// journal: the document with this _id is inserted, replaced or, if doc is nil,
// deleted. The collection is named "collection" or "database.collection".
func (c Change) Also(collection string, id, doc any) Change {
	kind := changeReplace
	if doc == nil {
		kind = changeDelete
	}
	c.also = append(slices.Clip(c.also), write{kind, collection, id, doc})
	return c
}

// AlsoUpdate is like [Change.Also] with an update document or a pipeline for a
// document that exists.
func (c Change) AlsoUpdate(collection string, id, update any) Change {
	c.also = append(slices.Clip(c.also), write{changeUpdate, collection, id, update})
	return c
}

// write is one to another collection.
type write struct {
	kind       changeKind // changeReplace inserts too
	collection string
	id         any
	value      any // the update or the document
}

// check refuses fields that would change the key that the walk goes by.
func (c Change) check(key string) error {
	for _, e := range c.set {
		if writesKey(e.Key, key) {
			return keyError(key)
		}
	}
	for _, path := range c.unset {
		if writesKey(path, key) {
			return keyError(key)
		}
	}
	return nil
}

// checkOperators refuses an update document that would.
func checkOperators(update bson.Raw, key string) error {
	elements, err := update.Elements()
	if err != nil {
		return fmt.Errorf("the update is no document: %w", err)
	}
	for _, op := range elements {
		fields, ok := op.Value().DocumentOK()
		if !ok || !strings.HasPrefix(op.Key(), "$") {
			continue
		}
		names, err := fields.Elements()
		if err != nil {
			return fmt.Errorf("%s: %w", op.Key(), err)
		}
		for _, name := range names {
			if writesKey(name.Key(), key) && op.Key() != "$setOnInsert" {
				return keyError(key)
			}
		}
	}
	return nil
}

func writesKey(path, key string) bool { return path == key || strings.HasPrefix(path, key+".") }

func keyError(key string) error {
	return fmt.Errorf("%w %s: a document that moves during the walk would be visited twice or not at all; "+
		"leave it as it is, or walk by another field that is indexed and unique (Options.Key, --key)", ErrKey, key)
}

// looks tells whether documents are looked at before and after a change whose effect can't be told from itself: for the
// journal, for the fields that may change, or for a key that mustn't.
func (e *engine) looks() bool {
	return e.opts.Journal != JournalOff || len(e.opts.Fields) > 0 || e.opts.Key != "_id"
}

// keptKey refuses a change of the key that only shows in what became of a document. The server itself guards the _id.
func (e *engine) keptKey(before, after bson.Raw) error {
	if e.opts.Key == "_id" || e.opts.Source != nil || before == nil || after == nil || keyIn(before, e.opts.Key).Equal(keyIn(after, e.opts.Key)) {
		return nil
	}
	return keyError(e.opts.Key)
}

// pipelineFields are the top-level fields that a pipeline of $set, $addFields,
// $unset stages writes, whether it may remove any, and whether that is all it
// does.
func pipelineFields(pipeline mongo.Pipeline) (fields []string, removes, known bool) {
	seen := make(map[string]bool)
	add := func(path string) {
		field, _, _ := strings.Cut(path, ".")
		if !seen[field] {
			seen[field] = true
			fields = append(fields, field)
		}
	}
	for _, stage := range pipeline {
		if len(stage) != 1 {
			return nil, false, false
		}
		body, err := bson.Marshal(bson.D{{Key: "v", Value: stage[0].Value}})
		if err != nil {
			return nil, false, false
		}
		value := bson.Raw(body).Lookup("v")
		switch stage[0].Key {
		case "$set", "$addFields":
			doc, ok := value.DocumentOK()
			if !ok {
				return nil, false, false
			}
			elements, _ := doc.Elements()
			for _, e := range elements {
				add(e.Key())
				removes = removes || !strings.Contains(e.Key(), ".") && !neverMissing(e.Value())
			}
		case "$unset":
			removes = true
			for _, path := range stringsOf(value) {
				add(path)
			}
		default:
			return nil, false, false
		}
	}
	return fields, removes, true
}

// neverMissing tells whether an expression always has a value. One that hasn't, such as the path of a field that isn't there,
// removes the field that it is assigned to.
func neverMissing(v bson.RawValue) bool {
	if text, ok := v.StringValueOK(); ok {
		return !strings.HasPrefix(text, "$")
	}
	doc, ok := v.DocumentOK()
	if !ok {
		return true
	}
	elements, err := doc.Elements()
	if err != nil {
		return false
	}
	return len(elements) != 1 || !strings.HasPrefix(elements[0].Key(), "$") || slices.Contains(alwaysValues(), elements[0].Key())
}

// alwaysValues are the operators that give null, or a value of their own, where their arguments are missing.
func alwaysValues() []string {
	return []string{
		"$literal", "$toLower", "$toUpper", "$concat", "$trim", "$ltrim", "$rtrim", "$substrCP", "$strLenCP", "$split", "$replaceOne", "$replaceAll",
		"$add", "$subtract", "$multiply", "$divide", "$mod", "$abs", "$ceil", "$floor", "$round", "$trunc", "$toString", "$toInt", "$toLong",
		"$toDouble", "$toDecimal", "$toBool", "$toDate", "$toObjectId", "$dateToString", "$dateFromString", "$size", "$concatArrays", "$map", "$filter",
		"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$and", "$or", "$not", "$in", "$type", "$mergeObjects", "$arrayToObject", "$objectToArray",
	}
}

func stringsOf(v bson.RawValue) []string {
	if s, ok := v.StringValueOK(); ok {
		return []string{s}
	}
	array, ok := v.ArrayOK()
	if !ok {
		return nil
	}
	values, _ := array.Values()
	var out []string
	for _, item := range values {
		if s, ok := item.StringValueOK(); ok {
			out = append(out, s)
		}
	}
	return out
}
