package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// load puts rows into a collection.
type load struct {
	File string
	Kind string
}

func (l *load) Backfill() backfill.Options {
	o := backfill.Options{Collection: "rows", Chunk: 10, MaxFailures: 100}
	switch l.Kind {
	case "csv":
		o.Source = backfill.CSV(l.File)
	case "ndjson":
		o.Source = backfill.NDJSON(l.File)
	case "items":
		o.Source = backfill.Items(numbers)
	}
	return o
}

// numbers lists 0 to 99.
func numbers(_ context.Context, after bson.RawValue) iter.Seq2[backfill.Item, error] {
	return func(yield func(backfill.Item, error) bool) {
		first := int64(0)
		if last, ok := after.AsInt64OK(); ok {
			first = last + 1
		}
		for i := first; i < 100; i++ {
			if !yield(backfill.Item{Key: i, Value: bson.D{{Key: "code", Value: fmt.Sprint(i)}}}, nil) {
				return
			}
		}
	}
}

func (*load) Change(_ context.Context, row struct {
	Code string `bson:"code"`
},
) (backfill.Change, error) {
	if row.Code == "bad" {
		return backfill.None(), errors.New("a bad code")
	}
	return backfill.Upsert(bson.D{{Key: "code", Value: row.Code}}).For(row.Code), nil
}

func TestSourcesOfRows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, lines []string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	csv, ndjson := []string{"\ufeffcode,note"}, []string{}
	for i := range 100 {
		csv = append(csv, fmt.Sprintf("%d,\"a note\nin two lines\"", i))
		ndjson = append(ndjson, fmt.Sprintf(`{"code": "%d", "at": {"$date": "2026-01-02T03:04:05Z"}}`, i))
	}
	csv = append(csv[:51], append([]string{"only one field", "bad,x", "\xff,x"}, csv[51:]...)...)
	ndjson = append(ndjson, `{"code": 1`, "", `{"code": "bad"}`, "\xff")
	for kind, file := range map[string]string{"csv": write("rows.csv", csv), "ndjson": write("rows.ndjson", ndjson), "items": ""} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			result, err := rikkitest.Try(t, db, backfill.New[struct {
				Code string `bson:"code"`
			}](&load{}), &rikki.RunOptions{Params: map[string]any{"file": file, "kind": kind}})
			var partial *rikki.PartialError
			if kind == "items" && err != nil || kind != "items" && (!errors.As(err, &partial) || partial.Failed != 3) {
				t.Fatalf("error %v", err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != 100 {
				t.Errorf("summary %+v", s)
			}
			if n, err := db.Collection("rows").CountDocuments(t.Context(), bson.D{}); err != nil || n != 100 {
				t.Errorf("%d rows (%v)", n, err)
			}
		})
	}
}

func TestAdHoc(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		params map[string]any
		want   bson.D
		n      int64
		wrong  string
	}{
		"pipeline": {
			params: map[string]any{"filter": `{"i": {"$lt": 100}}`, "update": `[{"$set": {"email": {"$toLower": "$email"}}}]`},
			want:   bson.D{{Key: "email", Value: "a@b.example"}}, n: 100,
		},
		"update":   {params: map[string]any{"update": `{"$rename": {"i": "j"}}`}, want: bson.D{{Key: "j", Value: bson.D{{Key: "$exists", Value: true}}}}, n: 300},
		"delete":   {params: map[string]any{"filter": `{"i": {"$gte": 100}}`, "delete": true}, want: bson.D{}, n: 100},
		"neither":  {params: map[string]any{}, wrong: "either --update or --delete"},
		"filter":   {params: map[string]any{"filter": `{"i": {"$foo": 1}}`, "delete": true}, wrong: "$foo"},
		"operator": {params: map[string]any{"update": `{"$sett": {"a": 1}}`}, wrong: "$sett"},
		"stage":    {params: map[string]any{"update": `[{"$out": "x"}]`}, wrong: "$out"},
		"plain":    {params: map[string]any{"update": `{"a": 1}`}, wrong: `"a" is no operator`},
		"key":      {params: map[string]any{"update": `{"$set": {"_id": 1}}`}, wrong: "changes the key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			seed(t, db.Collection("users"), 300)
			c.params["collection"] = "users"
			_, err := rikkitest.Try(t, db, backfill.NewAdHoc(), &rikki.RunOptions{Params: c.params})
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("error %v, want one with %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n, err := db.Collection("users").CountDocuments(t.Context(), c.want); err != nil || n != c.n {
				t.Errorf("%d match %v, want %d (%v)", n, c.want, c.n, err)
			}
		})
	}
}

// rowsOf writes a file.
func rowsOf(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// upsertCode writes a row under its code.
func upsertCode(_ context.Context, row bson.Raw) (backfill.Change, error) {
	return backfill.Upsert(row).For(row.Lookup("code").StringValue()), nil
}

func TestFilesAsTheyAreFound(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file, text    string
		changed, fail int64
		err           string
	}{
		"MarkAndCRLF":       {"rows.ndjson", "\ufeff{\"code\": \"1\"}\r\n\r\n{\"code\": \"2\"}", 2, 0, ""},
		"CSVWithCRLF":       {"rows.csv", "\ufeffcode,note\r\n1,\"two\r\nlines\"\r\n2,\r\n", 2, 0, ""},
		"NoLastLineEnd":     {"rows.csv", "code\n1\n2", 2, 0, ""},
		"NULInTheHeader":    {"rows.csv", "code,no\x00te\n1,2\n", 0, 0, "column 2"},
		"SameColumnTwice":   {"rows.csv", "code,code\n1,2\n", 0, 0, "column 2"},
		"OnlyAHeader":       {"rows.csv", "code\n", 0, 0, ""},
		"Empty":             {"rows.csv", "", 0, 0, "header"},
		"EmptyNDJSON":       {"rows.ndjson", "", 0, 0, ""},
		"NotADocument":      {"rows.ndjson", "{\"code\": \"1\"}\n[1]\n", 1, 1, "1 document"},
		"QuoteNotClosed":    {"rows.csv", "code\n1\n\"2\n3\n", 0, 0, "the row of line 3 goes on to line 4, and a quote in it is wrong"},
		"QuoteOfManyMiB":    {"rows.csv", "code\n1\n\"2" + strings.Repeat("a line of no end\n", 5<<20), 0, 0, "is there a quote that isn't closed?"},
		"LineOfManyMiB":     {"rows.ndjson", "{\"code\": \"1\"}\n{\"code\": \"" + strings.Repeat("x", 70<<20) + "\"}\n{\"code\": \"3\"}", 2, 1, "1 document"},
		"TwoDocumentsALine": {"rows.ndjson", "{\"code\": \"1\"} {\"code\": \"2\"}\n{\"code\": \"3\"},\nnull\n{\"code\": \"5\"}\n", 1, 3, "3 documents"},
		"QuoteInTheMiddle":  {"rows.csv", "code,b\n1,x\n2,a\"b\n3,y\n", 2, 1, "1 document"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			source := backfill.CSV(rowsOf(t, test.file, test.text))
			if strings.HasSuffix(test.file, "ndjson") {
				source = backfill.NDJSON(rowsOf(t, test.file, test.text))
			}
			s, err := summary(t, db, function(backfill.Options{Collection: "rows", Source: source, Chunk: 1}, upsertCode), nil)
			if s.Changed != test.changed || s.Failed != test.fail || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, summary %+v", err, s)
			}
		})
	}
}

// A run that was stopped in the middle of a file goes on behind the last row that was done, quoted line ends and bad rows or not,
// and refuses another file by its name.
func TestFilesGoOnInTheMiddle(t *testing.T) {
	t.Parallel()
	var csv, ndjson strings.Builder
	csv.WriteString("code,note\n")
	for i := range 100 {
		fmt.Fprintf(&csv, "%d,\"a note\nin two lines\"\n", i)
		fmt.Fprintf(&ndjson, "{\"code\": \"%d\"}\n\n", i)
		if i%10 == 7 {
			csv.WriteString("only one\n\"x\"y,1\n")
			ndjson.WriteString("{\n\xff\n")
		}
	}
	for kind, text := range map[string]string{"csv": csv.String(), "ndjson": ndjson.String()} {
		for _, size := range []int{1, 7} {
			t.Run(fmt.Sprint(kind, size), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				file := rowsOf(t, "rows."+kind, text)
				source := backfill.CSV(file)
				if kind == "ndjson" {
					source = backfill.NDJSON(file)
				}
				ctx, stop := context.WithCancelCause(t.Context())
				app := rikkitest.App(t, db, function(backfill.Options{Collection: "rows", Source: source, Chunk: size, MaxFailures: 100},
					func(_ context.Context, row bson.Raw) (backfill.Change, error) {
						if row.Lookup("code").StringValue() == "55" {
							stop(rikki.ErrInterrupted)
						}
						return backfill.Update((&mark{}).Pipeline()).For(row.Lookup("code").StringValue()), nil
					}))
				var docs []any
				for i := range 100 {
					docs = append(docs, bson.D{{Key: "_id", Value: fmt.Sprint(i)}})
				}
				insert(t, db.Collection("rows"), docs...)
				result, err := app.Run(ctx, "scripted", nil)
				if !errors.Is(err, rikki.ErrInterrupted) {
					t.Fatalf("error %v", err)
				}
				if s := result.Value.(*backfill.Summary); s.Changed < 40 || s.Changed > 90 {
					t.Errorf("it was not stopped in the middle: %+v", s)
				}
				if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := app.Continue(t.Context(), result.Run, nil); !errors.Is(err, rikki.ErrSourceChanged) || !strings.Contains(err.Error(), file) {
					t.Fatalf("another file: %v", err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				result, err = app.Continue(t.Context(), result.Run, nil)
				if !isPartial(err, 20) {
					t.Fatalf("going on: %v", err)
				}
				once(t, db.Collection("rows"), 100)
				var lines []string
				for f, err := range backfill.Failures(t.Context(), app, result.Run) {
					if err != nil {
						t.Fatal(err)
					}
					lines = append(lines, string(f.ID))
				}
				if len(lines) != 20 {
					t.Errorf("failed lines %v", lines)
				}
			})
		}
	}
}
