package backfill

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/rawbson"
	"github.com/rikki-go/rikki/rikkitest"
)

var (
	imagesSeed = flag.Uint64("images.seed", 1, "seed of TestComputedImagesAreWhatTheServerHas")
	imagesTime = flag.Duration("images.time", 3*time.Second, "how long it goes on")
)

// odd makes documents of all kinds, with the names and the values that are known to be treated in a way of their own somewhere.
type odd struct{ *rand.Rand }

func (o odd) pick(from ...string) string { return from[o.IntN(len(from))] }

func (o odd) name() string {
	if o.IntN(3) > 0 {
		return o.pick("a", "b", "c", "d")
	}
	return o.pick("", "0", "1", "2", "10", "01", "a.b", ".", "a.", "$a", "$set", "$ref", "$id", "$db", "A", "aa", "a-", "a0", "ä", "é", "zz", "__rikki_before",
		"length", "\xff", "x y", "_i", "_idx", "9z", ":", "Z", "_")
}

// value appends a field.
func (o odd) value(dst []byte, name string, depth int) []byte {
	raw := func(kind bson.Type, value ...byte) []byte {
		return rawbson.Append(dst, name, bson.RawValue{Type: kind, Value: value})
	}
	text := func(s string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(s)+1)), s+"\x00"...)
	}
	n64 := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	kinds := 22
	if depth > 3 {
		kinds = 18
	}
	switch o.IntN(kinds) {
	case 0, 1:
		return raw(bson.TypeInt32, binary.LittleEndian.AppendUint32(nil, uint32(o.IntN(3)))...)
	case 2:
		return raw(bson.TypeInt64, n64([]uint64{0, 1, 2, math.MaxInt64, 1 << 63, 1<<53 + 1}[o.IntN(6)])...)
	case 3:
		f := []float64{0, math.Copysign(0, -1), 1, 2, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxInt64, 0.1, math.SmallestNonzeroFloat64}
		return raw(bson.TypeDouble, n64(math.Float64bits(f[o.IntN(len(f))]))...)
	case 4: // a NaN of another pattern
		return raw(bson.TypeDouble, n64(0xfff8_0000_0000_0000|uint64(o.IntN(4)))...)
	case 5: // decimals in several forms, also such as nobody writes
		return raw(bson.TypeDecimal128, append(n64([]uint64{0, 1, 10, 100, math.MaxUint64}[o.IntN(5)]),
			n64([]uint64{0x3040 << 48, 0x303e << 48, 0xb040 << 48, 0x7c00 << 48, 0x7800 << 48, 0x6c10 << 48, 0x5ffe << 48}[o.IntN(7)])...)...)
	case 6, 7:
		return raw(bson.TypeString, text(o.pick("", "a", "b", "A", "\xff\xfe", "a\x00b", "1", "Zoë"))...)
	case 8:
		return raw([]bson.Type{bson.TypeSymbol, bson.TypeJavaScript}[o.IntN(2)], text(o.pick("a", "b"))...)
	case 9:
		return raw([]bson.Type{bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey}[o.IntN(4)])
	case 10:
		return raw(bson.TypeBoolean, byte(o.IntN(2)))
	case 11:
		return raw(bson.TypeDateTime, n64([]uint64{0, 1, math.MaxUint64, 1 << 63}[o.IntN(4)])...)
	case 12:
		return raw(bson.TypeTimestamp, n64([]uint64{0, 0, 1, 1 << 32}[o.IntN(4)])...)
	case 13:
		return raw(bson.TypeObjectID, []byte("123456789012")...)
	case 14:
		data := o.pick("", "ab", "\x04\x00\x00\x00abcd")
		return raw(bson.TypeBinary, append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), []byte{0, 2, 3, 4, 5, 128}[o.IntN(6)]), data...)...)
	case 15:
		return raw(bson.TypeRegex, []byte(o.pick("a", "", "^b")+"\x00"+o.pick("", "i", "xi", "mi")+"\x00")...)
	case 16:
		return raw(bson.TypeDBPointer, append(text("db.c"), "123456789012"...)...)
	case 17:
		scope, start := rawbson.Open(append(n64(0)[:4], text("f()")...))
		code := rawbson.Close(scope, start)
		binary.LittleEndian.PutUint32(code, uint32(len(code)))
		return raw(bson.TypeCodeWithScope, code...)
	case 18, 19:
		dst, start := rawbson.OpenField(dst, bson.TypeEmbeddedDocument, name)
		for range o.IntN(4) {
			dst = o.value(dst, o.name(), depth+1)
		}
		return rawbson.Close(dst, start)
	default:
		dst, start := rawbson.OpenField(dst, bson.TypeArray, name)
		for i := range o.IntN(4) {
			at := fmt.Sprint(i)
			if o.IntN(30) == 0 {
				at = o.pick("0", "7", "x", "")
			}
			dst = o.value(dst, at, depth+1)
		}
		return rawbson.Close(dst, start)
	}
}

// document makes one without an _id.
func (o odd) document() bson.Raw {
	doc, start := rawbson.Open(nil)
	for range o.IntN(7) {
		doc = o.value(doc, o.name(), 0)
	}
	return rawbson.Close(doc, start)
}

func (o odd) single() bson.RawValue {
	doc, start := rawbson.Open(nil)
	rest, _ := rawbson.Fields(rawbson.Close(o.value(doc, "v", 1), start))
	e, _, _ := rawbson.Next(rest)
	return e.RawValue()
}

// change makes one, often of what is there already.
func (o odd) change(doc bson.Raw) Change {
	if o.IntN(4) == 0 {
		with := o.document()
		if o.IntN(3) == 0 {
			with = doc
		}
		if o.IntN(2) == 0 {
			return Upsert(with)
		}
		return Replace(with)
	}
	var c Change
	elements, _ := doc.Elements()
	numbers := o.IntN(6) == 0 // several new fields whose names are numbers
	for range 1 + o.IntN(3) {
		name, value := o.name(), o.single()
		if numbers {
			c = c.Set(o.pick("0", "1", "2", "10", "01", "9z", "a"), value)
			continue
		}
		if len(elements) > 0 && o.IntN(2) == 0 {
			e := elements[o.IntN(len(elements))]
			if name = e.Key(); o.IntN(2) == 0 {
				value = e.Value()
			}
		}
		if o.IntN(6) == 0 {
			name += "." + o.name()
		}
		if o.IntN(3) == 0 {
			c = c.Unset(name)
		} else {
			c = c.Set(name, value)
		}
	}
	return c
}

// imageCase is a document, what is asked for, and how it was computed to be then.
type imageCase struct {
	id            bson.RawValue
	before, after bson.Raw
	request       request
	known         bool
	refused       bool
}

// Where what becomes of a document is computed instead of read, it is what the server stores, byte for byte. The server is asked.
func TestComputedImagesAreWhatTheServerHas(t *testing.T) {
	t.Parallel()
	coll := rikkitest.DB(t).Collection("odd")
	o := odd{rand.New(rand.NewPCG(*imagesSeed, 0))}
	total, computed, unchanged, refused := 0, 0, 0, 0
	began := time.Now()
	for round := 0; round < 4 || time.Since(began) < *imagesTime; round++ {
		cases := oddCases(t, coll, o, round*1000)
		x := encoder{key: "_id"}
		var sent []*imageCase
		for i := range cases {
			k := &cases[i]
			change := o.change(k.before)
			if k.before == nil {
				change = Upsert(o.document())
			}
			r, err := x.encode(change)
			if err != nil {
				refused++
				continue
			}
			k.request = r
			if k.after, k.known = foretold(k); k.known && bytes.Equal(k.before, k.after) {
				unchanged++
			}
			sent = append(sent, k)
		}
		changeAll(t, coll, sent)
		stored := storedBy(t, coll)
		for _, k := range sent {
			total++
			now := stored[exactKey(k.id)]
			switch {
			case k.refused:
				refused++
				if !bytes.Equal(now, k.before) {
					t.Errorf("refused, and changed all the same:\n%s\n%s", k.before, now)
				}
			case k.known:
				if computed++; !bytes.Equal(now, k.after) {
					t.Errorf("seed %d, round %d:\nbefore   %s\n%x\nset      %s, unset %q, replaced by %s (%s)\ncomputed %s\n%x\nstored   %s\n%x",
						*imagesSeed, round, k.before, []byte(k.before), k.request.set, k.request.unset, k.request.doc, k.request.kind, k.after, []byte(k.after), now, []byte(now))
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d changes in %s: %d computed (%d that change nothing), %d refused", total, time.Since(began).Round(time.Millisecond), computed, unchanged, refused)
	if computed < total/3 || unchanged == 0 || refused == 0 || computed == total {
		t.Error("that is no fair mix")
	}
}

// oddCases puts documents into the collection, and returns them as they are there.
func oddCases(t *testing.T, coll *mongo.Collection, o odd, first int) []imageCase {
	t.Helper()
	if err := coll.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 400
	put := &statements{coll: coll, engine: &engine{}}
	for i := range n {
		id := int64Value(int64(first + i))
		doc := replacement{doc: o.document()}.under(nil, id)
		put.put(i, id, doc, true)
	}
	if _, err := put.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored := storedBy(t, coll)
	cases, taken := make([]imageCase, 0, n), writtenIDs{}
	for i := range n {
		id := int64Value(int64(first + i))
		cases = append(cases, imageCase{id: id, before: stored[exactKey(id)]})
		taken.add(id)
	}
	for range n / 8 { // and documents that there aren't, by all kinds of _ids
		if id := o.single(); !taken.has(id) {
			taken.add(id)
			cases = append(cases, imageCase{id: id})
		}
	}
	return cases
}

// foretold is what the code that is tested says of a change.
func foretold(k *imageCase) (bson.Raw, bool) {
	if k.request.kind != changeFields {
		return k.request.under(nil, k.id), !k.request.stamped
	}
	var f fieldChange
	f.take(k.request.set, k.request.unset)
	if f.empty() {
		return k.before, true
	}
	return f.outcome(nil, k.before)
}

// changeAll does the changes; those that the server refuses are marked.
func changeAll(t *testing.T, coll *mongo.Collection, cases []*imageCase) {
	t.Helper()
	var f fieldChange
	for len(cases) > 0 {
		s := &statements{coll: coll, engine: &engine{}}
		for i, k := range cases {
			f.take(k.request.set, k.request.unset)
			switch {
			case k.request.kind != changeFields:
				s.replace(i, k.id, k.request.doc, k.request.kind == changeUpsert)
			case !f.empty():
				s.fields(i, k.id, &f)
			}
		}
		_, err := s.send(t.Context())
		if err == nil {
			return
		}
		one, ok := errors.AsType[*documentError](err)
		if !ok {
			t.Fatal(err)
		}
		cases[one.index].refused = true
		cases = cases[one.index+1:]
	}
}

func storedBy(t *testing.T, coll *mongo.Collection) map[string]bson.Raw {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetBatchSize(10_000))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bson.Raw{}
	for cur.Next(t.Context()) {
		found[exactKey(cur.Current.Lookup("_id"))] = bytes.Clone(cur.Current)
	}
	if err := cur.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
