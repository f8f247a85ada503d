package journal_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
)

// dice makes documents from bytes. When they are used up, everything is zero.
type dice struct{ rest []byte }

func (d *dice) roll(sides int) int {
	if len(d.rest) == 0 {
		return 0
	}
	n := int(d.rest[0]) % sides
	d.rest = d.rest[1:]
	return n
}

// names are few, so that fields meet again and names occur twice.
func (d *dice) name() string {
	return []string{"a", "b", "c", "d", "e", "a.b", "$set", "", "ä"}[d.roll(9)]
}

func (d *dice) value(depth int) any {
	switch d.roll(8) {
	case 1:
		return int64(d.roll(3))
	case 2:
		return float64(d.roll(3))
	case 3:
		return string(make([]byte, d.roll(3)*600)) // some above the length that is kept
	case 4:
		return bson.A{d.roll(3), d.roll(3)}
	case 5:
		return nil
	case 6, 7:
		if depth < 4 {
			return d.document(depth + 1)
		}
	}
	return int32(d.roll(3))
}

func (d *dice) document(depth int) bson.D {
	doc := bson.D{}
	for range d.roll(7) {
		doc = append(doc, bson.E{Key: d.name(), Value: d.value(depth)})
	}
	return doc
}

// change does what updates do: set, add, remove, move, and now and then something else.
func (d *dice) change(doc bson.D, depth int) bson.D {
	doc = append(bson.D{}, doc...)
	for range d.roll(4) {
		at := d.roll(len(doc) + 1)
		switch op := d.roll(8); {
		case at == len(doc) || op == 1:
			doc = append(doc, bson.E{Key: d.name(), Value: d.value(depth)})
		case op == 2:
			doc = append(doc[:at:at], doc[at+1:]...)
		case op == 3:
			doc = append(doc[:at:at], append(bson.D{{Key: d.name(), Value: d.value(depth)}}, doc[at:]...)...)
		case op == 4:
			other := d.roll(len(doc))
			doc[at], doc[other] = doc[other], doc[at]
		case op == 5:
			doc[at].Key = d.name()
		default:
			if nested, ok := doc[at].Value.(bson.D); ok {
				doc[at].Value = d.change(nested, depth+1)
			} else {
				doc[at].Value = d.value(depth)
			}
		}
	}
	return doc
}

// story is a document before and after a run, and what somebody made of it since.
func story(t testing.TB, data []byte) (before, after, current bson.Raw) {
	dice := &dice{rest: data}
	doc := append(bson.D{{Key: "_id", Value: 1}}, dice.document(0)...)
	run := append(bson.D{{Key: "_id", Value: 1}}, dice.change(doc[1:], 0)...)
	now := append(bson.D{{Key: "_id", Value: 1}}, dice.change(run[1:], 0)...)
	return raw(t, doc), raw(t, run), raw(t, now)
}

// tell checks what must be true of any story.
func tell(t testing.TB, before, after, current bson.Raw) {
	t.Helper()
	if string(before) == string(after) {
		if changes, ok := journal.Diff(before, after); len(changes) > 0 || !ok {
			t.Fatalf("nothing changed: %v, %v", changes, ok)
		}
		return
	}
	for _, mode := range []journal.Mode{journal.Changed, journal.Full} {
		e := one(t, mode, before, after)
		if r := restore(t, e, after); r.Action != journal.ActionReplace || len(r.Conflicts) > 0 || string(r.Document) != string(before) {
			t.Fatalf("%s: from\n%v\nundone by %s, conflicts %v:\n%v\nwant\n%v", mode, after, r.Action, r.Conflicts, r.Document, before)
		}
		if r := restore(t, e, before); r.Action != journal.ActionNone || len(r.Conflicts) > 0 {
			t.Fatalf("%s: undone twice: %+v", mode, r)
		}
		r := restore(t, e, current)
		if r.Action == journal.ActionNone {
			continue
		}
		if err := r.Document.Validate(); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		again := restore(t, e, r.Document)
		if again.Action != journal.ActionNone || len(again.Conflicts) != len(r.Conflicts) || again.Done != r.Done+r.Restored {
			t.Fatalf("%s: before\n%v\nafter\n%v\nnow\n%v\nundone\n%v\nagain: %+v", mode, before, after, current, r.Document, again)
		}
		untouched(t, e, current, r.Document)
	}
}

// untouched checks that fields that the run didn't change are as they were, in their order.
func untouched(t testing.TB, e journal.Entry, current, restored bson.Raw) {
	t.Helper()
	touched := map[string]bool{}
	for _, c := range e.Paths() {
		touched[c.Path[0]] = true
	}
	if e.Op == journal.Replace {
		return
	}
	rest := func(doc bson.Raw) (text string) {
		elements, err := doc.Elements()
		if err != nil {
			t.Fatal(err)
		}
		for _, element := range elements {
			if !touched[element.Key()] {
				text += string(element)
			}
		}
		return text
	}
	if rest(current) != rest(restored) {
		t.Fatalf("other fields changed: from\n%v\nto\n%v\nby %+v", current, restored, e.Paths())
	}
}

func TestManyStories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 0, 200)
	whole := 0
	const stories = 5_000
	for range stories {
		data = data[:20+random.IntN(180)]
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		before, after, current := story(t, data)
		tell(t, before, after, current)
		if _, ok := journal.Diff(before, after); !ok {
			whole++
		}
	}
	if whole < stories/100 || whole > stories*3/4 {
		t.Errorf("%d of %d kept as a whole: they don't try both", whole, stories)
	}
}

func FuzzStory(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		data := make([]byte, 100)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before, after, current := story(t, data)
		tell(t, before, after, current)
	})
}

// FuzzRaw takes any bytes for documents. What isn't BSON is compared as a whole.
func FuzzRaw(f *testing.F) {
	for _, p := range corpus(f) {
		f.Add([]byte(p.before), []byte(p.after))
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		changes, ok := journal.Diff(before, after)
		if string(before) == string(after) || !ok {
			return
		}
		e := journal.Entry{Op: journal.Update, Changes: changes}
		r, err := e.Restore(after)
		if err != nil || string(r.Document) != string(before) {
			t.Fatalf("from %x\nto   %x\ngot  %x, %v", after, before, []byte(r.Document), err)
		}
	})
}

// FuzzDecode takes any bytes for a journal.
func FuzzDecode(f *testing.F) {
	for _, mode := range []journal.Mode{journal.Changed, journal.Full, journal.IDs} {
		w := journal.NewWriter(mode)
		for _, p := range corpus(f)[:20] {
			if _, err := w.Add("db.c", p.before, p.after); err != nil {
				f.Fatal(err)
			}
		}
		docs, err := w.Documents(header)
		if err != nil {
			f.Fatal(err)
		}
		_, packed := docs[0].Lookup("data").Binary()
		data, err := s2.Decode(nil, packed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, int32(w.Len()))
	}
	current := raw(f, d("_id", 1, "a", 1, "n", d("a", 1)))
	f.Fuzz(func(t *testing.T, data []byte, entries int32) {
		doc := raw(t, d("_id", 1, "format", int32(1), "part", int32(0), "parts", int32(1), "entries", entries,
			"data", bson.Binary{Data: s2.Encode(nil, data)}))
		for e, err := range journal.Decode(doc) {
			if err != nil {
				return
			}
			for _, doc := range []bson.Raw{current, nil} {
				if r, err := e.Restore(doc); err == nil && r.Action == journal.ActionReplace && len(r.Document) < 5 {
					t.Fatalf("restored to %x", []byte(r.Document))
				}
			}
			_ = e.Paths()
		}
	})
}

// FuzzPart takes any bytes for a journal document.
func FuzzPart(f *testing.F) {
	w := journal.NewWriter(journal.Changed)
	add(f, w, "", d("_id", 1, "a", 1), d("_id", 1, "a", 2))
	docs, err := w.Documents(header)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(docs[0]))
	f.Add([]byte{})
	f.Add(binary.LittleEndian.AppendUint32(nil, 4))
	f.Fuzz(func(_ *testing.T, doc []byte) {
		for _, err := range journal.Decode(doc) {
			if err != nil {
				return
			}
		}
	})
}
