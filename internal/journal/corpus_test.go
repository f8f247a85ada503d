package journal_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// pair is a document before and after; nil is none.
type pair struct {
	name          string
	before, after bson.Raw
	// whole says that paths can't take it back exactly.
	whole bool
}

func raw(t testing.TB, doc any) bson.Raw {
	t.Helper()
	data, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// d makes a document of names and values, in order.
func d(namesAndValues ...any) bson.D {
	doc := bson.D{}
	for i := 0; i < len(namesAndValues); i += 2 {
		doc = append(doc, bson.E{Key: namesAndValues[i].(string), Value: namesAndValues[i+1]})
	}
	return doc
}

// allTypes has a value of every BSON type, the deprecated ones too.
func allTypes() bson.D {
	decimal, _ := bson.ParseDecimal128("1.10")
	return d("_id", bson.NewObjectID(), "double", 1.5, "string", "s", "document", d("a", 1), "array", bson.A{1, "x"},
		"binary", bson.Binary{Subtype: 4, Data: make([]byte, 16)}, "old", bson.Binary{Subtype: 2, Data: []byte{1, 2}}, "undefined", bson.Undefined{}, "bool", true,
		"date", bson.NewDateTimeFromTime(time.Unix(0, 0)), "null", nil, "regex", bson.Regex{Pattern: "^a", Options: "i"},
		"pointer", bson.DBPointer{DB: "db.c", Pointer: bson.NewObjectID()}, "code", bson.JavaScript("1"), "symbol", bson.Symbol("s"),
		"scope", bson.CodeWithScope{Code: "x", Scope: d("x", 1)}, "int32", int32(1), "timestamp", bson.Timestamp{T: 1, I: 2},
		"int64", int64(1), "decimal", decimal, "min", bson.MinKey{}, "max", bson.MaxKey{})
}

func deep(levels int, leaf any) bson.D {
	doc := d("leaf", leaf)
	for range levels {
		doc = d("down", doc, "beside", 1)
	}
	return doc
}

func wide(n int, change func(i int) (any, bool)) bson.D {
	doc := d("_id", 1)
	for i := range n {
		if v, ok := change(i); ok {
			doc = append(doc, bson.E{Key: fmt.Sprintf("f%06d", i), Value: v})
		}
	}
	return doc
}

// noise doesn't compress.
func noise(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, n+8), random.Uint64())
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b[:n]
}

// corpus is what documents can be like.
func corpus(t testing.TB) []pair {
	t.Helper()
	var pairs []pair
	add := func(name string, before, after any) {
		pairs = append(pairs, pair{name: name, before: raw(t, before), after: raw(t, after)})
	}
	whole := func(name string, before, after any) {
		pairs = append(pairs, pair{name: name, before: raw(t, before), after: raw(t, after), whole: true})
	}
	add("value changes", d("_id", 1, "a", 1, "b", 2), d("_id", 1, "a", 9, "b", 2))
	add("type changes", d("_id", 1, "a", int32(1)), d("_id", 1, "a", int64(1)))
	add("int64 to a date of the same bytes", d("_id", 1, "a", int64(1)), d("_id", 1, "a", bson.DateTime(1)))
	add("field appended", d("_id", 1, "a", 1), d("_id", 1, "a", 1, "b", 2, "c", 3))
	add("field inserted", d("_id", 1, "a", 1), d("_id", 1, "b", 2, "a", 1))
	add("field removed at the end", d("_id", 1, "a", 1), d("_id", 1))
	add("fields removed in the middle", d("_id", 1, "a", 1, "b", 2, "c", 3, "d", 4), d("_id", 1, "d", 4))
	add("field removed at the beginning", d("a", 1, "_id", 1, "b", 1), d("_id", 1, "b", 1))
	add("fields renamed", d("_id", 1, "a", 1, "b", 2, "c", 3), d("_id", 1, "b", 2, "x", 1, "y", 3))
	add("all but the id replaced", d("_id", 1, "a", 1, "b", 2), d("_id", 1, "c", 1, "d", 2))
	add("nested", d("_id", 1, "n", d("a", 1, "b", d("x", 1, "y", 2), "c", 3)), d("_id", 1, "n", d("a", 1, "b", d("y", 3, "z", 4), "c", 3)))
	add("nested order", d("_id", 1, "n", d("a", 1, "b", 2), "o", 1), d("_id", 1, "n", d("b", 2, "a", 1), "o", 2))
	add("document to value and back", d("_id", 1, "a", d("x", 1), "b", 1), d("_id", 1, "a", 1, "b", d("x", 1)))
	add("empty documents", d("_id", 1, "a", d(), "b", d("x", 1)), d("_id", 1, "a", d("x", 1), "b", d()))
	add("array", d("_id", 1, "a", bson.A{1, 2}), d("_id", 1, "a", bson.A{1, 2, 3}))
	add("array to document with the same bytes", d("_id", 1, "a", bson.A{1}), d("_id", 1, "a", d("0", 1)))
	add("odd names", d("_id", 1, "a.b", 1, "$set", 2, "", 3, "é\n", d("$x", 1, "y.z", 2, "", 3)),
		d("_id", 1, "a.b", 9, "$set", 9, "", 9, "é\n", d("$x", 9, "y.z", 9, "", 9)))
	add("odd names go", d("_id", 1, "a.b", 1, "$set", 2, "", 3, "x", 1), d("_id", 1, "x", 1))
	add("a name that is a path", d("_id", 1, "a.b", 1, "a", d("b", 1)), d("_id", 1, "a.b", 1, "a", d("b", 2)))
	add("NaN", d("_id", 1, "a", math.NaN(), "b", math.NaN()), d("_id", 1, "a", math.Float64frombits(math.Float64bits(math.NaN())^1), "b", math.NaN()))
	add("minus zero", d("_id", 1, "a", 0.0), d("_id", 1, "a", math.Copysign(0, -1)))
	one, _ := bson.ParseDecimal128("1.0")
	same, _ := bson.ParseDecimal128("1.00")
	add("decimals that are equal", d("_id", 1, "a", one), d("_id", 1, "a", same))
	add("200 levels", d("_id", 1, "n", deep(200, 1)), d("_id", 1, "n", deep(200, 2)))
	add("1,000 levels", d("_id", 1, "n", deep(1000, 1)), d("_id", 1, "n", deep(1000, 2)))
	add("compound id", d("_id", d("a", 1, "b", "x"), "v", 1), d("_id", d("a", 1, "b", "x"), "v", 2))
	add("large values", d("_id", 1, "v", strings.Repeat("x", 2000)), d("_id", 1, "v", strings.Repeat("y", 2000)))

	types := allTypes()
	for i := 1; i < len(types); i++ {
		changed := append(bson.D{}, types...)
		changed[i].Value = types[(i+1)%len(types)].Value
		add("all types, "+types[i].Key+" changed", types, changed)
		add("all types, "+types[i].Key+" removed", types, append(append(bson.D{}, types[:i]...), types[i+1:]...))
	}
	whole("order", d("_id", 1, "a", 1, "b", 2), d("_id", 1, "b", 2, "a", 1))
	whole("order and values", d("_id", 1, "a", 1, "b", 2, "c", 3), d("_id", 1, "c", 4, "a", 1, "b", 2))
	whole("duplicate name", d("_id", 1, "a", 1, "a", 2), d("_id", 1, "a", 1, "a", 3))
	many := d("_id", 1)
	for i := range 30 {
		many = append(many, bson.E{Key: fmt.Sprint("f", i), Value: i})
	}
	add("many fields", append(many, bson.E{Key: "x", Value: 1}), append(append(bson.D{}, many[:7]...), many[8:]...))
	whole("duplicate name among many", append(append(bson.D{}, many...), bson.E{Key: "f7", Value: 1}), append(append(bson.D{}, many...), bson.E{Key: "f7", Value: 2}))
	whole("duplicate name appears", d("_id", 1, "a", 1, "b", 1), d("_id", 1, "a", 1, "b", 1, "a", 3))
	whole("duplicate name goes", d("_id", 1, "a", 1, "b", 1, "a", 2), d("_id", 1, "a", 1, "b", 1))
	whole("duplicate names of which one goes", d("_id", 1, "a", 1, "a", 2, "b", 1), d("_id", 1, "a", 1, "b", 1))
	add("duplicate name further down", d("_id", 1, "n", d("a", 1, "a", 2), "x", 1), d("_id", 1, "n", d("a", 1, "a", 3), "x", 2))
	return pairs
}

// large is the part of the corpus that takes time.
func large(t testing.TB) []pair {
	t.Helper()
	value := func(i int) (any, bool) { return i, true }
	big := noise(16<<20-100, 1)
	return []pair{
		{name: "100,000 fields, one changed", before: raw(t, wide(100_000, value)), after: raw(t, wide(100_000, func(i int) (any, bool) { return i + i/99_999, true }))},
		{name: "100,000 fields, all changed", before: raw(t, wide(100_000, value)), after: raw(t, wide(100_000, func(i int) (any, bool) { return i + 1, true }))},
		{name: "100,000 fields, every second removed", before: raw(t, wide(100_000, value)), after: raw(t, wide(100_000, func(i int) (any, bool) { return i, i%2 == 0 }))},
		{name: "100,000 fields, every second added", before: raw(t, wide(100_000, func(i int) (any, bool) { return i, i%2 == 0 })), after: raw(t, wide(100_000, value))},
		{name: "16 MiB, value changed", before: raw(t, d("_id", 1, "v", big, "x", 1)), after: raw(t, d("_id", 1, "v", noise(16<<20-100, 2), "x", 1))},
		{name: "16 MiB, reordered", before: raw(t, d("_id", 1, "v", big, "x", 1)), after: raw(t, d("_id", 1, "x", 1, "v", big)), whole: true},
		{name: "16 MiB of the same", before: raw(t, d("_id", 1, "v", bytes.Repeat([]byte("x"), 16<<20-100))), after: raw(t, d("_id", 1, "v", 1))},
	}
}
