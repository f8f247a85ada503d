//go:build !race

package backfill_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// made is rows that are made while they are read: of so many bytes, among them some very long ones and some that are bad.
type made struct {
	kind  string
	bytes int
	every int // between two long rows, and two bad ones
	long  int // bytes of a long row

	row, done, longs, bad int
	rest                  string
}

func (m *made) Read(p []byte) (int, error) {
	for len(m.rest) == 0 {
		if m.done >= m.bytes {
			return 0, io.EOF
		}
		m.rest = m.next()
	}
	n := copy(p, m.rest)
	m.rest, m.done = m.rest[n:], m.done+n
	return n, nil
}

func (m *made) next() string {
	m.row++
	note := strings.Repeat("lorem ipsum ", 20)
	switch {
	case m.kind == "csv" && m.row == 1:
		return "code,note\n"
	case m.row%m.every == 10:
		m.bad++
		return "only one of two and no JSON\n"
	case m.row%m.every == 20:
		m.longs++
		note = strings.Repeat("long\"\" ", m.long/8)
		if m.kind == "ndjson" {
			note = strings.Repeat("long\\n ", m.long/8)
		}
	}
	if m.kind == "csv" {
		return fmt.Sprintf("%d,\"%s\"\n", m.row, note)
	}
	return fmt.Sprintf("{\"code\": \"%d\", \"note\": \"%s\"}\n", m.row, note)
}

// rowsLife runs through made rows on standard input, and returns the most memory.
func rowsLife(t *testing.T, m *made, keep bool) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	os.Stdin = r
	go func() {
		_, _ = io.Copy(w, m) // who doesn't read to the end has failed already
		_ = w.Close()
	}()
	defer func() {
		os.Stdin = stdin
		_ = r.Close()
	}()
	source := backfill.CSV(backfill.Stdin)
	if m.kind == "ndjson" {
		source = backfill.NDJSON(backfill.Stdin)
	}
	var kept []bson.Raw
	seen, meter := 0, &meter{every: 1 << 30} // the function looks
	db := rikkitest.DB(t)
	insert(t, db.Collection("rows"), bson.D{{Key: "_id", Value: 1}})
	app := metered(t, db, meter, function(backfill.Options{Collection: "rows", Source: source, Chunk: 500, MaxFailures: 1 << 40},
		func(_ context.Context, row bson.Raw) (backfill.Change, error) {
			if seen++; keep {
				kept = append(kept, row)
			}
			if len(row) > m.long/2 || seen%10_000 == 0 {
				meter.look()
			}
			return backfill.None(), nil
		}))
	meter.reset()
	result, err := app.Run(t.Context(), "scripted", nil)
	if !isPartial(err, int64(m.bad)) {
		t.Fatalf("%+v, %v", result, err)
	}
	if s := result.Value.(*backfill.Summary); s.Failed != int64(m.bad) || m.bad == 0 || m.longs == 0 || s.Unchanged != int64(seen) || seen == 0 || keep && len(kept) != seen {
		t.Errorf("%+v of %d rows, %d of them bad and %d long", s, m.row, m.bad, m.longs)
	}
	return meter.peak(t)
}

// However much a file or standard input has, with bad rows and very long ones, as much memory is taken. The long ones are let go.
func TestMemoryOfRows(t *testing.T) {
	const long = 2 * mib
	small, large := 4*mib, 10*mib
	if os.Getenv(faultsEnv) != "" {
		large = 1 << 30
	}
	for _, kind := range []string{"csv", "ndjson"} {
		t.Run(kind, func(t *testing.T) {
			few := rowsLife(t, &made{kind: kind, bytes: small, every: 5_000, long: long}, false)
			many := rowsLife(t, &made{kind: kind, bytes: large, every: 5_000, long: long}, false)
			t.Logf("%d and %d KiB", few>>10, many>>10)
			if many > few+2*long || many > 6*long {
				t.Errorf("%d MiB take %d KiB, %d MiB take %d KiB", small/mib, few>>10, large/mib, many>>10)
			}
		})
	}
	t.Run("WhatIsKeptIsSeen", func(t *testing.T) {
		m := &made{kind: "ndjson", bytes: 12 * mib, every: 5_000, long: long}
		if held := rowsLife(t, m, true); held < 8*mib {
			t.Errorf("a script that keeps its rows was not seen: %d KiB", held>>10)
		}
	})
}

// A long row's memory is let go once it is done: what is held behind it is next to nothing.
func TestLongRowsAreLetGo(t *testing.T) {
	const long = 8 * mib
	for _, kind := range []string{"csv", "ndjson"} {
		t.Run(kind, func(t *testing.T) {
			// One long row at the beginning, and many behind it.
			m := &made{kind: kind, bytes: long + 6*mib, every: 1 << 30, long: long}
			path := t.TempDir() + "/rows." + kind
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(file, m); err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			source := backfill.CSV(path)
			if kind == "ndjson" {
				source = backfill.NDJSON(path)
			}
			db, held, seen := rikkitest.DB(t), 0, 0
			insert(t, db.Collection("rows"), bson.D{{Key: "_id", Value: 1}})
			before := liveHeap()
			result, err := rikkitest.Try(t, db, function(backfill.Options{Collection: "rows", Source: source, Chunk: 500, MaxFailures: 100},
				func(context.Context, bson.Raw) (backfill.Change, error) {
					if seen++; seen == 15_000 {
						held = liveHeap() - before
					}
					return backfill.None(), nil
				}), nil)
			if !isPartial(err, 1) || m.longs != 1 || seen < 15_000 {
				t.Fatalf("%d rows, %d long: %+v, %v", seen, m.longs, result, err)
			}
			if held > 4*mib {
				t.Errorf("%d KiB are held behind the row of %d MiB", held>>10, long/mib)
			}
		})
	}
}
