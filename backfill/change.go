package backfill

import (
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Change is what shall become of one document. The zero value and [None] leave
// it as it is. Make one with [Set], [Unset], [Update], [Replace], [Upsert] or
// [Delete], and add writes to other collections with [Change.Also].
//
// A change is one of these kinds. A document whose change is of two, such as
// Delete().Set("a", 1), fails and stays as it is.
type Change struct {
	kind   changeKind
	fields []fieldWrite
	value  any  // an update document, a pipeline, or a document that replaces another
	target *any // the _id of the document; nil means the one that was read
	also   []write
	wrong  string // why it can't be done
}

type changeKind int

const (
	changeNone changeKind = iota
	changeFields
	changeUpdate
	changeReplace
	changeUpsert
	changeDelete
)

// names are what people call them.
func (k changeKind) String() string {
	return [...]string{changeNone: "None", changeFields: "Set or Unset", changeUpdate: "Update", changeReplace: "Replace", changeUpsert: "Upsert", changeDelete: "Delete"}[k]
}

// fieldWrite sets a field or removes it.
type fieldWrite struct {
	path   string
	value  any
	remove bool
}

// None leaves the document as it is.
func None() Change { return Change{} }

// Set sets a field, given by its path as in MongoDB's $set. More fields are set
// with [Change.Set]. A document that has all the values already is not written.
func Set(path string, value any) Change { return Change{}.Set(path, value) }

// Unset removes fields, given by their paths.
func Unset(paths ...string) Change { return Change{}.Unset(paths...) }

// Set sets one more field. Of several writes to one path the last one counts. A
// change that writes a path and a part of it, such as a and a.b, fails.
func (c Change) Set(path string, value any) Change {
	return c.write(fieldWrite{path: path, value: value})
}

// Unset removes more fields.
func (c Change) Unset(paths ...string) Change {
	c = c.write()
	for _, path := range paths {
		c = c.write(fieldWrite{path: path, remove: true})
	}
	return c
}

func (c Change) write(fields ...fieldWrite) Change {
	if c.kind != changeNone && c.kind != changeFields {
		c.wrong = "the change is " + c.kind.String() + " and " + changeFields.String() + ": a change is one of these, since one statement does it"
	}
	c.kind = changeFields
	c.fields = append(slices.Clip(c.fields), fields...)
	return c
}

// Update applies an update document such as {"$inc": {"n": 1}}, or an
// aggregation pipeline ([mongo.Pipeline]). A document without operators is
// refused: that is [Replace].
func Update(update any) Change { return Change{kind: changeUpdate, value: update} }

// Replace replaces the whole document but for its _id. As ever, the server puts
// its time into timestamps at the top of the document that are empty.
func Replace(doc any) Change { return Change{kind: changeReplace, value: doc} }

// Upsert replaces the whole document but for its _id, or inserts it if there is
// none.
func Upsert(doc any) Change { return Change{kind: changeUpsert, value: doc} }

// Delete deletes the document.
func Delete() Change { return Change{kind: changeDelete} }

// For makes the change one of the document with this _id, for sources whose
// items are not the documents themselves, such as the rows of a file.
func (c Change) For(id any) Change {
	if c.target != nil {
		c.wrong = "For is said twice: a change is of one document; return another, or use Also"
	}
	c.target = &id
	return c
}

// Also writes to another collection in the same transaction, and in the undo
// journal: the document with this _id is inserted, replaced or, if doc is nil,
// deleted.
//
// The collection is named "collection", "database.collection" or, where its own
// name has dots, ".my.collection": one of the backfill's database. A name with a
// dot in front of which no database is meant fails, if there is such a collection.
func (c Change) Also(collection string, id, doc any) Change {
	kind := changeUpsert
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
	kind       changeKind // changeUpsert, changeUpdate or changeDelete
	collection string
	id         any
	value      any // the update or the document
}

// checkOperators refuses an update document that would change the key, the _id, or a field that isn't one of some, if there are any.
func checkOperators(update bson.Raw, key string, only []string) error {
	paths, err := pathsOfOperators(update)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := checkPath(path, key); err != nil {
			return err
		}
		if len(only) > 0 && !slices.Contains(only, top(path)) {
			return fmt.Errorf("%w: the update changes %s, and only %s may change (Options.Fields, --fields)", ErrGuard, path, strings.Join(only, ", "))
		}
	}
	return nil
}

// pathsOfOperators are those that an update document writes in documents that exist.
func pathsOfOperators(update bson.Raw) ([]string, error) {
	elements, err := update.Elements()
	if err != nil {
		return nil, fmt.Errorf("the update is no document: %w", err)
	}
	var paths []string
	for _, op := range elements {
		fields, ok := op.Value().DocumentOK()
		if !ok || !strings.HasPrefix(op.Key(), "$") || op.Key() == "$setOnInsert" {
			continue
		}
		names, err := fields.Elements()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.Key(), err)
		}
		for _, name := range names {
			paths = append(paths, name.Key())
			if to, ok := name.Value().StringValueOK(); ok && op.Key() == "$rename" {
				paths = append(paths, to)
			}
		}
	}
	return paths, nil
}

// checkPipeline does the same with an aggregation pipeline, as far as that can be seen in it.
func checkPipeline(stages bson.RawArray, key string) error {
	values, err := stages.Values()
	if err != nil {
		return fmt.Errorf("the update is no pipeline: %w", err)
	}
	for _, stage := range values {
		doc, _ := stage.DocumentOK()
		op, err := doc.IndexErr(0)
		if err != nil {
			continue // the server will say what is wrong with it
		}
		for _, path := range pathsWritten(op.Key(), op.Value()) {
			if err := checkPath(path, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// pathsWritten are those that a stage is seen to write.
func pathsWritten(op string, body bson.RawValue) []string {
	var paths []string
	doc, _ := body.DocumentOK()
	elements, _ := doc.Elements()
	switch op {
	case "$set", "$addFields":
		for _, e := range elements {
			paths = append(paths, e.Key())
		}
	case "$unset":
		return stringsOf(body)
	case "$project":
		for _, e := range elements { // what is left out, or kept, isn't computed; the server keeps the _id
			if _, number := e.Value().AsFloat64OK(); !number && e.Value().Type != bson.TypeBoolean {
				paths = append(paths, e.Key())
			}
		}
	}
	return paths
}

// checkPath refuses a path that is written if the walk goes by it, or if it is the _id.
func checkPath(path, key string) error {
	switch {
	case writesKey(path, key):
		return keyError(key)
	case writesKey(path, "_id"):
		return keyError("_id")
	}
	return nil
}

func writesKey(path, key string) bool { return path == key || strings.HasPrefix(path, key+".") }

func keyError(key string) error {
	if key == "_id" {
		return fmt.Errorf("%w _id: no document can get another one; insert a copy under the new _id with Upsert or Also, and delete the old one", ErrKey)
	}
	return fmt.Errorf("%w %s that the walk goes by: a document that moves during the walk would be visited twice or not at all; "+
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
