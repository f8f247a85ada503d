package backfill_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// priced is a row with two columns that must be there, and two that need not.
type priced struct {
	SKU   string  `bson:"sku"`
	Price string  `bson:"price"`
	Note  *string `bson:"note"`
	More  string  `bson:"more,omitempty"`
}

// pricer writes rows of prices.
type pricer struct {
	source backfill.Source
}

func (p *pricer) Backfill() backfill.Options {
	return backfill.Options{Collection: "prices", Source: p.source, MaxFailures: 100}
}

func (*pricer) Change(_ context.Context, r priced) (backfill.Change, error) {
	return backfill.Upsert(bson.D{{Key: "price", Value: r.Price}}).For(r.SKU), nil
}

// A header that doesn't fit would make each field of each document empty: it is refused, and nothing is written.
func TestAHeaderThatDoesNotFitTheTypeIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		by    byte
		wrong string
	}{
		"Fits":             {"sku,price\na1,10\n", ',', ""},
		"InAnyOrder":       {"more,price,x,sku\n,10,,a1\n", ',', ""},
		"InCapitals":       {"SKU,Price\na1,10\n", ',', ""},
		"MarkAndQuotes":    {"\ufeff\"sku\",\"price\"\r\n\"a1\",\"10\"\r\n", ',', ""},
		"Separated":        {"sku;price\na1;10\n", ';', ""},
		"ByTabs":           {"sku\tprice\na1\t10\n", '\t', ""},
		"SaidInTheFile":    {"sep=;\nsku;price\na1;10\n", ',', ""},
		"CROnly":           {"sku,price\ra1,10\r", ',', ""},
		"MixedLineEnds":    {"sku,price\r\na0,9\ra1,10\n", ',', ""},
		"Semicolons":       {"sku;price\na1;10\n", ',', `only one, called "sku;price": are the columns separated by ';'?`},
		"Tabs":             {"sku\tprice\na1\t10\n", ',', `are the columns separated by '\t'?`},
		"CommasForSemi":    {"sku,price\na1,10\n", ';', `are the columns separated by ','?`},
		"Spaces":           {" sku , price\na1, 10\n", ',', `there is no column sku, but one called " sku "`},
		"AnotherName":      {"sku,cost\na1,10\n", ',', `there is no column price; the columns are "sku", "cost". A field that needs no column is a pointer, or has omitempty`},
		"NoHeader":         {"a1,10\n", ',', "there is no column sku"},
		"QuoteNotClosed":   {"sku,price\na1,\"10\na2,20\n", ',', "the row of line 2 goes on to line 3, and a quote in it is wrong"},
		"QuoteThatMeets":   {"sku,price\na1,\"1\na2,2\na3,3\na4,\"4\"\na5,5\n", ',', "the row of line 2 goes on to line 5, and a quote in it is wrong"},
		"OfAnotherProgram": {"\xff\xfes\x00", ',', "UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			_, err := rikkitest.Try(t, db, backfill.New[priced](&pricer{backfill.Separated(rowsOf(t, "p.csv", c.text), c.by)}), nil)
			var got struct{ Price string }
			_ = db.Collection("prices").FindOne(t.Context(), bson.D{{Key: "_id", Value: "a1"}}).Decode(&got)
			switch n, countErr := db.Collection("prices").CountDocuments(t.Context(), bson.D{}); {
			case c.wrong == "" && (err != nil || got.Price != "10"):
				t.Errorf("error %v, price %q", err, got.Price)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
				t.Errorf("error %v, want one with %s", err, c.wrong)
			case c.wrong != "" && (n != 0 || countErr != nil):
				t.Errorf("%d documents were written (%v)", n, countErr)
			}
		})
	}
}

// Rows are counted before the plan is made and read afterwards, so a pipe, which gives them once, is refused. It isn't waited for.
func TestAFileThatCanBeReadOnceIsRefused(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	if _, err := write.WriteString("sku,price\na1,10\n"); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{"directory": t.TempDir(), "pipe": namedPipe(t, filepath.Join(t.TempDir(), "p.csv"))}
	if _, err := os.Stat("/dev/fd"); err == nil {
		paths["inherited"] = fmt.Sprintf("/dev/fd/%d", read.Fd())
	}
	for name, path := range paths {
		if path == "" {
			continue
		}
		for kind, source := range map[string]backfill.Source{"csv": backfill.CSV(path), "ndjson": backfill.NDJSON(path)} {
			_, err := rikkitest.Try(t, rikkitest.DB(t), backfill.New[priced](&pricer{source}), nil)
			if err == nil || !strings.Contains(err.Error(), "is no ordinary file, and can't be read twice: give the rows by standard input, with - as the name") {
				t.Errorf("%s as %s: error %v", name, kind, err)
			}
		}
	}
}

// An array of JSON is refused at its first character, not element by element.
func TestAnArrayOfJSONIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"[{\"code\": \"1\"},\n{\"code\": \"2\"}]\n", "\ufeff\r\n[\n{\"code\": \"1\"}\n]", "[]"} {
		db := rikkitest.DB(t)
		source := backfill.NDJSON(rowsOf(t, "rows.json", text))
		s, err := summary(t, db, function(backfill.Options{Collection: "rows", Source: source, MaxFailures: 100}, upsertCode), nil)
		if err == nil || !strings.Contains(err.Error(), "the file is a JSON array") || s.Matched != 0 {
			t.Errorf("%q: error %v, summary %+v", text, err, s)
		}
	}
}

// Lines of NDJSON end as any text's do, and lose nothing of their values.
func TestLinesOfNDJSONLoseNothing(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	text := "{\"code\": \"1\", \"v\": {\"z\": 1.0, \"a\": 9223372036854775807}}\r{\"code\": \"2\", \"v\": \"a\\u2028b\"}\r\n{\"code\": \"3\", \"v\": 9223372036854775808}\n" +
		"{\"code\": \"4\", \"v\": 1, \"v\": 2}\r{\"code\": \"5\", \"v\": {\"b\": [{\"c\": 1, \"c\": 2}]}}\r\r\n{\"code\": \"6\", \"v\": \"\\ud800\"}\n{\"code\": \"7\", \"v\": null}"
	s, err := summary(t, db, function(backfill.Options{Collection: "rows", Source: backfill.NDJSON(rowsOf(t, "rows.ndjson", text)), MaxFailures: 100}, upsertCode), nil)
	if !isPartial(err, 4) || s.Changed != 3 {
		t.Errorf("error %v, summary %+v", err, s)
	}
	got, err := db.Collection("rows").FindOne(t.Context(), bson.D{{Key: "_id", Value: "1"}}).Raw()
	if want := extJSON(t, `{"_id": "1", "code": "1", "v": {"z": 1.0, "a": {"$numberLong": "9223372036854775807"}}}`); err != nil || string(got) != string(want) {
		t.Errorf("got %s, want %s (%v)", got, want, err)
	}
}
