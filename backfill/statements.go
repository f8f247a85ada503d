package backfill

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// statements are writes to documents of one collection, done in the order in which they are added: one command for all that
// follow one another and are of one kind.
type statements struct {
	coll        *mongo.Collection
	run         string // for the server's log
	alone       bool   // they are no part of a transaction
	engine      *engine
	unvalidated bool // the collection's validator isn't asked
	// grouped lets deletions wait until a barrier, behind updates of other documents that were added after them: two commands
	// instead of many. See [statements.barrier] for what that may change.
	grouped  bool
	commands []command
	waiting  []command // deletions
	overtook bool      // an update was added while deletions waited
	spare    []command // whose memory is used again
}

// command is what fits into one, such as {update: collection, comment: run, updates: [statements]}.
type command struct {
	kind  commandKind
	doc   []byte // without its end
	array int    // where the array begins in it
	index []int  // of the items that the statements are about
}

// commandKind is the server's name of a command, and of the array in it.
type commandKind struct{ name, list string }

var (
	updateCommand = commandKind{"update", "updates"}
	deleteCommand = commandKind{"delete", "deletes"}
	insertCommand = commandKind{"insert", "documents"}
)

// effect is how many documents were written by commands.
type effect struct {
	changed int64 // or inserted
	deleted int64
}

// maxCommand keeps a command below the server's 16 MiB.
const maxCommand = 12 << 20

// maxStatements is how many statements the server takes in one command.
const maxStatements = 100_000

func newStatements(e *engine, coll *mongo.Collection) *statements {
	return &statements{coll: coll, run: e.run.ID(), alone: e.alone, engine: e}
}

// reset forgets all statements, to be used for another chunk.
func (s *statements) reset() {
	const kinds = 2
	for _, commands := range [][]command{s.commands, s.waiting} {
		for _, c := range commands {
			if len(s.spare) < kinds && cap(c.doc) <= maxKept {
				s.spare = append(s.spare, c)
			}
		}
		clear(commands) // what is too large to be kept shall go
	}
	s.commands, s.waiting, s.overtook = s.commands[:0], s.waiting[:0], false
}

// len is the number of statements.
func (s *statements) len() int {
	n := 0
	for _, commands := range [][]command{s.commands, s.waiting} {
		for i := range commands {
			n += len(commands[i].index)
		}
	}
	return n
}

// barrier keeps what comes from now on behind the deletions that wait. It must stand before an update of a document whose
// deletion may wait. For other documents the order can be seen only where a unique index holds: a deletion makes room for an
// update behind it. Such an update is refused if the deletion waits, and [statements.overtook] says to do it all again in its
// order. Updates that are accepted before the deletions would have been accepted behind them.
func (s *statements) barrier() {
	s.commands = append(s.commands, s.waiting...)
	clear(s.waiting)
	s.waiting = s.waiting[:0]
}

// open returns the command that the next statement goes into.
func (s *statements) open(kind commandKind, size int) *command {
	list := &s.commands
	if s.grouped && kind == deleteCommand {
		list = &s.waiting
	}
	s.overtook = s.overtook || kind != deleteCommand && len(s.waiting) > 0
	if n := len(*list); n > 0 {
		if c := &(*list)[n-1]; c.kind == kind && len(c.doc)+size <= maxCommand && len(c.index) < maxStatements {
			return c
		}
	}
	*list = append(*list, s.header(kind))
	return &(*list)[len(*list)-1]
}

func (s *statements) header(kind commandKind) command {
	var c command
	if n := len(s.spare); n > 0 {
		c, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	c.kind = kind
	doc, _ := rawbson.Open(c.doc[:0])
	doc = rawbson.Append(doc, kind.name, stringValue(s.coll.Name()))
	doc = rawbson.Append(doc, "comment", stringValue(s.run))
	if s.unvalidated && kind != deleteCommand {
		doc = rawbson.Append(doc, "bypassDocumentValidation", trueValue())
	}
	if s.engine.pinned && s.coll == s.engine.coll {
		uuidType, uuid, _ := bson.MarshalValue(s.engine.target.Collection) // a binary always encodes
		doc = rawbson.Append(doc, "collectionUUID", bson.RawValue{Type: uuidType, Value: uuid})
	}
	if s.alone {
		concern, _ := bson.Marshal(bson.D{{Key: "w", Value: "majority"}})
		doc = rawbson.Append(doc, "writeConcern", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: concern})
	}
	c.doc, c.array = rawbson.OpenField(doc, bson.TypeArray, kind.list)
	c.index = c.index[:0]
	return c
}

// begin begins a statement, and end ends it.
func (s *statements) begin(kind commandKind, index, size int) (c *command, start int) {
	const around = 128 // names, filters and lengths
	c = s.open(kind, size+around)
	c.doc = append(c.doc, byte(bson.TypeEmbeddedDocument))
	c.doc = strconv.AppendInt(c.doc, int64(len(c.index)), 10)
	c.doc, start = rawbson.Open(append(c.doc, 0))
	c.index = append(c.index, index)
	return c, start
}

func (c *command) end(start int) { c.doc = rawbson.Close(c.doc, start) }

// filter selects the document with an _id. $eq keeps a document or a regular expression from being an operator.
func (c *command) filter(id bson.RawValue) {
	doc, filter := rawbson.OpenField(c.doc, bson.TypeEmbeddedDocument, "q")
	if id.Type == bson.TypeRegex || id.Type == bson.TypeEmbeddedDocument {
		var equal int
		doc, equal = rawbson.OpenField(doc, bson.TypeEmbeddedDocument, "_id")
		doc = rawbson.Close(rawbson.Append(doc, "$eq", id), equal)
	} else {
		doc = rawbson.Append(doc, "_id", id)
	}
	c.doc = rawbson.Close(doc, filter)
}

// update changes the document with an _id by an update document or a pipeline.
func (s *statements) update(index int, id, u bson.RawValue) {
	c, start := s.begin(updateCommand, index, len(id.Value)+len(u.Value))
	c.filter(id)
	c.doc = rawbson.Append(c.doc, "u", u)
	c.end(start)
}

// updateWithin is like update, for a document only that a filter matches too: the update may be about what that finds in it.
func (s *statements) updateWithin(index int, id bson.RawValue, filter bson.Raw, u bson.RawValue) {
	if filter == nil {
		s.update(index, id, u)
		return
	}
	c, start := s.begin(updateCommand, index, len(id.Value)+len(filter)+len(u.Value))
	doc, q := rawbson.OpenField(c.doc, bson.TypeEmbeddedDocument, "q")
	doc, equal := rawbson.OpenField(doc, bson.TypeEmbeddedDocument, "_id")
	doc = rawbson.Close(rawbson.Append(doc, "$eq", id), equal)
	doc, all := rawbson.OpenField(doc, bson.TypeArray, "$and")
	doc = rawbson.Close(rawbson.Append(doc, "0", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: filter}), all)
	c.doc = rawbson.Append(rawbson.Close(doc, q), "u", u)
	c.end(start)
}

// fields sets and removes fields of the document with an _id.
func (s *statements) fields(index int, id bson.RawValue, f *fieldChange) {
	c, start := s.begin(updateCommand, index, len(id.Value)+f.size())
	c.filter(id)
	c.doc = f.appendUpdate(c.doc)
	c.end(start)
}

// replace puts a document in the place of the one with an _id, or where there is none. The server fills empty timestamps of it
// in, and refuses fields that begin with a dollar.
func (s *statements) replace(index int, id bson.RawValue, doc bson.Raw, upsert bool) {
	c, start := s.begin(updateCommand, index, len(id.Value)+len(doc))
	c.filter(id)
	c.doc = rawbson.Append(c.doc, "u", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	c.upsert(upsert)
	c.end(start)
}

// put is like replace for any document, which will be there byte for byte. The server must not be told so of one that has a name
// twice, before or after: that can end it. It is slower.
func (s *statements) put(index int, id bson.RawValue, doc bson.Raw, upsert bool) {
	c, start := s.begin(updateCommand, index, len(id.Value)+len(doc))
	c.filter(id)
	list, array := rawbson.OpenField(c.doc, bson.TypeArray, "u")
	list, stage := rawbson.OpenField(list, bson.TypeEmbeddedDocument, "0")
	list, with := rawbson.OpenField(list, bson.TypeEmbeddedDocument, "$replaceWith")
	list = rawbson.Append(list, "$literal", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	c.doc = rawbson.Close(rawbson.Close(rawbson.Close(list, with), stage), array)
	c.upsert(upsert)
	c.end(start)
}

func (c *command) upsert(upsert bool) {
	if upsert {
		c.doc = rawbson.Append(c.doc, "upsert", trueValue())
	}
}

// remove deletes the document with an _id.
func (s *statements) remove(index int, id bson.RawValue) {
	c, start := s.begin(deleteCommand, index, len(id.Value))
	c.filter(id)
	c.doc = rawbson.Append(c.doc, "limit", bson.RawValue{Type: bson.TypeInt32, Value: []byte{1, 0, 0, 0}})
	c.end(start)
}

// insert adds a document. The server fills empty timestamps of it in, and refuses an _id that is there.
func (s *statements) insert(index int, doc bson.Raw) {
	c := s.open(insertCommand, len(doc))
	c.doc = rawbson.Append(c.doc, strconv.Itoa(len(c.index)), bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	c.index = append(c.index, index)
}

// send sends the commands, one after another, up to the first that isn't done as a whole.
func (s *statements) send(ctx context.Context) (effect, error) {
	s.barrier()
	var all effect
	for i := range s.commands {
		one, err := s.commands[i].send(ctx, s.coll)
		if err != nil {
			return all, err
		}
		all.changed += one.changed
		all.deleted += one.deleted
	}
	return all, nil
}

func (c *command) send(ctx context.Context, coll *mongo.Collection) (effect, error) {
	c.doc = rawbson.Close(rawbson.Close(c.doc, c.array), 0)
	var answer struct {
		N         int64
		NModified int64 `bson:"nModified"`
		Upserted  []bson.Raw
	}
	err := coll.Database().RunCommand(ctx, bson.Raw(c.doc)).Decode(&answer)
	if refused, ok := errors.AsType[mongo.WriteException](err); ok && len(refused.WriteErrors) > 0 {
		return effect{}, &documentError{index: c.index[refused.WriteErrors[0].Index], class: classOf(refused), err: refused}
	}
	if err != nil {
		return effect{}, fmt.Errorf("changing %s: %w", coll.Name(), err)
	}
	switch c.kind {
	case deleteCommand:
		return effect{deleted: answer.N}, nil
	case insertCommand:
		return effect{changed: answer.N}, nil
	default:
		return effect{changed: answer.NModified + int64(len(answer.Upserted))}, nil
	}
}

func trueValue() bson.RawValue { return bson.RawValue{Type: bson.TypeBoolean, Value: []byte{1}} }

func stringValue(s string) bson.RawValue {
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(s)+1)) //nolint:gosec // names
	return bson.RawValue{Type: bson.TypeString, Value: append(append(data, s...), 0)}
}
