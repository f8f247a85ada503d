package journal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
)

func add(t testing.TB, w *journal.Writer, namespace string, before, after any) {
	t.Helper()
	var b, a bson.Raw
	if before != nil {
		b = raw(t, before)
	}
	if after != nil {
		a = raw(t, after)
	}
	if _, err := w.Add(namespace, b, a); err != nil {
		t.Fatal(err)
	}
}

func TestEntriesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Changed)
	add(t, w, "", d("_id", 1, "a", 1), d("_id", 1, "a", 2))
	add(t, w, "", d("_id", 2, "a", 1), d("_id", 2, "a", 1)) // nothing changed
	add(t, w, "shop.totals", nil, d("_id", "t", "n", 1))
	add(t, w, "shop.totals", d("_id", "t", "n", 1), d("_id", "t", "n", 2))
	add(t, w, "", d("_id", 3, "a", 1, "b", 2), d("_id", 3, "b", 2, "a", 1))
	add(t, w, "", d("_id", 4), nil)
	var got []string
	for _, e := range entries(t, w) {
		got = append(got, e.Op.String()+" "+e.Namespace+" "+e.ID.String())
	}
	want := `update  {"$numberInt":"1"}|insert shop.totals "t"|update shop.totals "t"|replace  {"$numberInt":"3"}|delete  {"$numberInt":"4"}`
	if strings.Join(got, "|") != want {
		t.Errorf("entries\n%s\nwant\n%s", strings.Join(got, "|"), want)
	}
	if w.Len() != 5 {
		t.Errorf("%d entries, want 5", w.Len())
	}
	w.Reset()
	if docs, err := w.Documents(header); w.Len() != 0 || len(docs) != 0 || err != nil || touchedText(w) != "" {
		t.Errorf("after reset: %d entries, %d documents, %v", w.Len(), len(docs), err)
	}
}

func TestHeaderComesFirst(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Changed)
	add(t, w, "", d("_id", 1, "a", 1), d("_id", 1, "a", 2))
	docs, err := w.Documents(header)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	all, err := docs[0].Elements()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range all {
		keys = append(keys, e.Key())
	}
	if got := strings.Join(keys, " "); got != "_id format part parts entries data" {
		t.Errorf("fields %s", got)
	}
	for _, name := range []string{"format", "part", "parts", "entries", "data"} {
		if _, err := w.Documents(func(int) bson.D { return d(name, 1) }); err == nil {
			t.Errorf("header with a field %s was taken", name)
		}
	}
	if _, err := w.Documents(func(int) bson.D { return d("x", strings.Repeat("x", 1<<20)) }); err == nil {
		t.Error("a header of 1 MiB was taken")
	}
}

func TestNoID(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Changed)
	if _, err := w.Add("", nil, raw(t, d("a", 1))); !errors.Is(err, journal.ErrNoID) {
		t.Errorf("add: %v, want ErrNoID", err)
	}
	if w.Len() != 0 {
		t.Errorf("%d entries, want none", w.Len())
	}
}

func TestTouched(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Changed)
	for id := range 3 {
		add(t, w, "", d("_id", id, "a", 1, "n", d("x", 1, "y", 1)), d("_id", id, "a", id, "n", d("x", 2, "y", 1), "new", 1))
	}
	add(t, w, "", d("_id", 9, "a", 1, "b", 2, "gone", 1), d("_id", 9, "b", 3, "a", 1, "new", 1)) // the order changed
	if got, want := touchedText(w), "a=2 b=1 gone=1 n.x=3 new=4 "; got != want {
		t.Errorf("touched %q, want %q", got, want)
	}
	w.Reset()
	add(t, w, "", d("_id", 9, "a", 1, "b", 2), d("_id", 9, "b", 2, "a", 1))
	if got := touchedText(w); got != "=1 " {
		t.Errorf("touched %q, want the whole document", got)
	}
}

func TestForecast(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Changed)
	if got := w.Forecast(1000, 500); got != 0 {
		t.Errorf("without a sample: %d", got)
	}
	var stored int64
	for id := range 2000 {
		add(t, w, "", d("_id", bson.NewObjectID(), "email", "A.B@EXAMPLE.COM", "n", id), d("_id", bson.NewObjectID(), "email", "a.b@example.com", "n", id))
		if id == 99 {
			stored = w.Forecast(2000, 2000)
		}
	}
	docs, err := w.Documents(header)
	if err != nil {
		t.Fatal(err)
	}
	if size := int64(len(docs[0])); stored < size*7/10 || stored > size*13/10 {
		t.Errorf("forecast from 100 documents %d, real %d", stored, size)
	}
}

func TestWriterStopsAllocating(t *testing.T) {
	before, after := raw(t, d("_id", 1, "email", "A@B.C", "n", d("x", 1))), raw(t, d("_id", 1, "email", "a@b.c", "n", d("x", 2), "new", 1))
	w := journal.NewWriter(journal.Changed)
	chunk := func() {
		w.Reset()
		for range 100 {
			if _, err := w.Add("", before, after); err != nil {
				t.Fatal(err)
			}
		}
	}
	chunk()
	// The counters of the paths are new for each chunk.
	if allocs := testing.AllocsPerRun(100, chunk); allocs > 10 {
		t.Errorf("%.0f allocations for a chunk of 100", allocs)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, bench := range []struct {
		name   string
		mode   journal.Mode
		fields int
	}{{"changed/8", journal.Changed, 8}, {"changed/40", journal.Changed, 40}, {"full/8", journal.Full, 8}, {"ids/8", journal.IDs, 8}} {
		b.Run(bench.name, func(b *testing.B) {
			// Different documents, or the journal would compress too well.
			pairs := make([]pair, 1000)
			for i := range pairs {
				before := d("_id", bson.NewObjectID(), "email", fmt.Sprintf("Some.Body%X@Example.COM", noise(6, uint64(i))))
				for j := range bench.fields - 2 {
					before = append(before, bson.E{Key: fmt.Sprint("field", j), Value: fmt.Sprintf("some value %x", noise(6, uint64(i*j)))})
				}
				after := append(append(bson.D{}, before...), bson.E{Key: "migrated", Value: true})
				after[1].Value = strings.ToLower(before[1].Value.(string))
				pairs[i] = pair{before: raw(b, before), after: raw(b, after)}
			}
			w := journal.NewWriter(bench.mode)
			b.ReportAllocs()
			n, size := 0, 0
			for b.Loop() {
				p := pairs[n%len(pairs)]
				if _, err := w.Add("", p.before, p.after); err != nil {
					b.Fatal(err)
				}
				if n++; n%len(pairs) == 0 {
					docs, err := w.Documents(header)
					if err != nil {
						b.Fatal(err)
					}
					size = len(docs[0]) / len(pairs)
					w.Reset()
				}
			}
			b.ReportMetric(float64(size), "journal-B/doc")
			b.ReportMetric(float64(len(pairs[0].before)), "doc-B/doc")
		})
	}
}
