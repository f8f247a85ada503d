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

// statements are updates or deletions of documents of one collection, put together as they are sent.
type statements struct {
	kind     string // "update" or "delete"
	coll     *mongo.Collection
	run      string // for the server's log
	alone    bool   // they are no part of a transaction
	commands []command
	spare    command // its memory is used again
}

// command is what fits into one: {update: collection, comment: run, updates: [statements]}.
type command struct {
	doc   []byte // without its end
	array int    // where the array begins in it
	index []int  // of the items that the statements are about
}

// maxCommand keeps a command below the server's 16 MiB.
const maxCommand = 12 << 20

func newStatements(kind string, e *engine, coll *mongo.Collection) *statements {
	return &statements{kind: kind, coll: coll, run: e.run.ID(), alone: e.alone}
}

// reset forgets all statements, to be used for another chunk.
func (s *statements) reset() {
	if len(s.commands) > 0 && cap(s.commands[0].doc) <= maxKept {
		s.spare = s.commands[0]
	}
	clear(s.commands) // what is too large to be kept shall go
	s.commands = s.commands[:0]
}

func (s *statements) len() int {
	n := 0
	for _, c := range s.commands {
		n += len(c.index)
	}
	return n
}

// open returns the command that the next statement goes into.
func (s *statements) open(size int) *command {
	if n := len(s.commands); n == 0 || len(s.commands[n-1].doc)+size > maxCommand {
		s.commands = append(s.commands, s.header())
	}
	return &s.commands[len(s.commands)-1]
}

func (s *statements) header() command {
	c := s.spare
	s.spare = command{}
	doc, _ := rawbson.Open(c.doc[:0])
	doc = rawbson.Append(doc, s.kind, stringValue(s.coll.Name()))
	doc = rawbson.Append(doc, "comment", stringValue(s.run))
	if s.alone {
		concern, _ := bson.Marshal(bson.D{{Key: "w", Value: "majority"}})
		doc = rawbson.Append(doc, "writeConcern", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: concern})
	}
	c.doc, c.array = rawbson.OpenField(doc, bson.TypeArray, s.kind+"s")
	c.index = c.index[:0]
	return c
}

// begin begins a statement with its filter, and end ends it.
func (s *statements) begin(index int, id bson.RawValue, size int) (c *command, start int) {
	c = s.open(size + len(id.Value) + 128)
	c.doc = append(c.doc, byte(bson.TypeEmbeddedDocument))
	c.doc = strconv.AppendInt(c.doc, int64(len(c.index)), 10)
	c.doc, start = rawbson.Open(append(c.doc, 0))
	var filter int
	c.doc, filter = rawbson.OpenField(c.doc, bson.TypeEmbeddedDocument, "q")
	c.doc = rawbson.Close(appendID(c.doc, id), filter)
	c.index = append(c.index, index)
	return c, start
}

func (c *command) end(start int) { c.doc = rawbson.Close(c.doc, start) }

// appendID is the filter for a document. $eq keeps a document or a regular expression from being an operator.
func appendID(dst []byte, id bson.RawValue) []byte {
	if id.Type != bson.TypeRegex && id.Type != bson.TypeEmbeddedDocument {
		return rawbson.Append(dst, "_id", id)
	}
	dst, start := rawbson.OpenField(dst, bson.TypeEmbeddedDocument, "_id")
	return rawbson.Close(rawbson.Append(dst, "$eq", id), start)
}

func (s *statements) update(index int, id, u bson.RawValue) {
	c, start := s.begin(index, id, len(u.Value))
	c.doc = rawbson.Append(c.doc, "u", u)
	c.end(start)
}

func (s *statements) fields(index int, id bson.RawValue, f *fieldChange) {
	c, start := s.begin(index, id, f.size())
	c.doc = f.appendUpdate(c.doc)
	c.end(start)
}

func (s *statements) replace(index int, id bson.RawValue, doc bson.Raw, upsert bool) {
	c, start := s.begin(index, id, len(doc))
	c.doc = rawbson.Append(c.doc, "u", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	if upsert {
		c.doc = rawbson.Append(c.doc, "upsert", bson.RawValue{Type: bson.TypeBoolean, Value: []byte{1}})
	}
	c.end(start)
}

func (s *statements) remove(index int, id bson.RawValue) {
	c, start := s.begin(index, id, 0)
	c.doc = rawbson.Append(c.doc, "limit", bson.RawValue{Type: bson.TypeInt32, Value: []byte{1, 0, 0, 0}})
	c.end(start)
}

// send sends the commands, and returns how many documents they changed.
func (s *statements) send(ctx context.Context) (int64, error) {
	var changed int64
	for i := range s.commands {
		n, err := s.commands[i].send(ctx, s.coll)
		if err != nil {
			return changed, err
		}
		changed += n
	}
	return changed, nil
}

func (c *command) send(ctx context.Context, coll *mongo.Collection) (int64, error) {
	c.doc = rawbson.Close(rawbson.Close(c.doc, c.array), 0)
	var answer struct {
		N         int64
		NModified *int64 `bson:"nModified"`
		Upserted  []bson.Raw
	}
	err := coll.Database().RunCommand(ctx, bson.Raw(c.doc)).Decode(&answer)
	if refused, ok := errors.AsType[mongo.WriteException](err); ok && len(refused.WriteErrors) > 0 {
		return 0, &documentError{index: c.index[refused.WriteErrors[0].Index], class: classOf(refused), err: refused}
	}
	if err != nil {
		return 0, fmt.Errorf("changing %s: %w", coll.Name(), err)
	}
	if answer.NModified != nil {
		return *answer.NModified + int64(len(answer.Upserted)), nil
	}
	return answer.N, nil
}

func stringValue(s string) bson.RawValue {
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(s)+1)) //nolint:gosec // names
	return bson.RawValue{Type: bson.TypeString, Value: append(append(data, s...), 0)}
}
