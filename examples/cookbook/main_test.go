package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

// recipe is one script with what it finds and leaves.
type recipe struct {
	script string
	params map[string]any
	before map[string][]bson.D
	check  map[string]map[string]int64 // by collection, how many documents match a filter in extended JSON
	failed int64
	final  bool // it can't be undone
}

func recipes(t *testing.T) []recipe {
	t.Helper()
	d := func(text string) bson.D {
		var doc bson.D
		if err := bson.UnmarshalExtJSON([]byte(text), false, &doc); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return doc
	}
	prices := filepath.Join(t.TempDir(), "prices.csv")
	if err := os.WriteFile(prices, []byte("sku,price\na,100\nb,two\nc,300\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := bson.D{{Key: "lastUsed", Value: time.Now().AddDate(0, 0, -100)}}
	return []recipe{
		{
			script: "rename-field", before: map[string][]bson.D{"users": {d(`{"_id": 1, "mail": "a", "x": 1}`), d(`{"_id": 2, "email": "b"}`)}},
			check: map[string]map[string]int64{"users": {`{"email": {"$in": ["a", "b"]}, "mail": {"$exists": false}}`: 2}},
		},
		{
			script: "split-name", before: map[string][]bson.D{"people": {d(`{"_id": 1, "name": "Ada Lovelace", "born": 1815}`), d(`{"_id": 2, "name": "Plato"}`)}}, failed: 1,
			check: map[string]map[string]int64{"people": {`{"first": "Ada", "last": "Lovelace", "name": {"$exists": false}}`: 1, `{"name": "Plato"}`: 1}},
		},
		{
			script: "add-default", before: map[string][]bson.D{"accounts": {d(`{"_id": 1}`), d(`{"_id": 2, "plan": null}`), d(`{"_id": 3, "plan": "pro"}`)}},
			check: map[string]map[string]int64{"accounts": {`{"plan": "free"}`: 2, `{"plan": "pro"}`: 1}},
		},
		{
			script: "text-to-date", before: map[string][]bson.D{"events": {d(`{"_id": 1, "at": "2026-01-02T03:04:05Z"}`), d(`{"_id": 2, "at": "yesterday"}`)}}, failed: 1,
			check: map[string]map[string]int64{"events": {`{"at": {"$type": "date"}}`: 1}},
		},
		{
			script: "fix-enum", before: map[string][]bson.D{"tickets": {d(`{"_id": 1, "state": " NEW"}`), d(`{"_id": 2, "state": "done"}`), d(`{"_id": 3, "state": "open"}`)}},
			check: map[string]map[string]int64{"tickets": {`{"state": "open"}`: 2, `{"state": "closed"}`: 1}},
		},
		{
			script: "fill-from-catalogue", failed: 1, before: map[string][]bson.D{
				"items": {d(`{"_id": 1, "sku": "a"}`), d(`{"_id": 2, "sku": "nothing"}`), d(`{"_id": 3, "sku": "a", "price": 7}`)}, "products": {d(`{"_id": "a", "price": 100}`)},
			},
			check: map[string]map[string]int64{"items": {`{"price": 100}`: 1, `{"price": 7}`: 1}},
		},
		{
			script: "encrypt-phone", params: map[string]any{"key": strings.Repeat("0f", 32)}, final: true,
			before: map[string][]bson.D{"customers": {d(`{"_id": 1, "phone": "555-1234"}`), d(`{"_id": 2, "phone": "enc:AAAA"}`), d(`{"_id": 3}`)}},
			check:  map[string]map[string]int64{"customers": {`{"phone": {"$regex": "^enc:"}}`: 2, `{"phone": {"$regex": "555"}}`: 0}},
		},
		{
			script: "purge-sessions", before: map[string][]bson.D{"sessions": {old, old, {{Key: "lastUsed", Value: time.Now()}}}},
			check: map[string]map[string]int64{"sessions": {`{}`: 1}},
		},
		{
			script: "split-order-lines", before: map[string][]bson.D{"orders": {d(`{"_id": 7, "lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}], "paid": true}`), d(`{"_id": 8}`)}},
			check: map[string]map[string]int64{"orders": {`{"lineCount": 2, "lines": {"$exists": false}}`: 1}, "order_lines": {`{"order": 7}`: 2}},
		},
		{
			script: "drop-duplicates", before: map[string][]bson.D{"contacts": {
				d(`{"_id": {"$oid": "600000000000000000000001"}, "email": "a"}`), d(`{"_id": {"$oid": "600000000000000000000002"}, "email": "b"}`),
				d(`{"_id": {"$oid": "600000000000000000000003"}, "email": "a"}`),
			}},
			check: map[string]map[string]int64{"contacts": {`{}`: 2, `{"email": "a"}`: 1}, "contacts_dropped": {`{"email": "a"}`: 1}},
		},
		{
			script: "import-prices", params: map[string]any{"file": prices}, failed: 1, before: map[string][]bson.D{"prices": {d(`{"_id": "a", "price": 1}`)}},
			check: map[string]map[string]int64{"prices": {`{"price": 100}`: 1, `{"price": 300}`: 1, `{}`: 2}},
		},
		{
			script: "geocode-places", before: map[string][]bson.D{"places": {d(`{"_id": 1, "address": "Main Street"}`), d(`{"_id": 2, "address": "Broadway", "position": [1, 2]}`)}},
			check: map[string]map[string]int64{"places": {`{"position": [11.0, 0.5]}`: 1, `{"position": [1, 2]}`: 1}},
		},
	}
}

// Each recipe does what it says, and can be undone byte for byte.
func TestRecipes(t *testing.T) {
	t.Parallel()
	all := recipes(t)
	if len(all) != len(scripts()) {
		t.Errorf("%d recipes for %d scripts", len(all), len(scripts()))
	}
	for _, r := range all {
		t.Run(r.script, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			for name, docs := range r.before {
				if _, err := db.Collection(name).InsertMany(t.Context(), docs); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, db)
			app := rikkitest.App(t, db, append(scripts(), backfill.NewUndo())...)
			result, err := app.Run(t.Context(), r.script, &rikki.RunOptions{Params: r.params})
			var partial *rikki.PartialError
			if errors.As(err, &partial) && partial.Failed == r.failed {
				err = nil
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, checks := range r.check {
				for filter, want := range checks {
					var f bson.D
					if err := bson.UnmarshalExtJSON([]byte(filter), false, &f); err != nil {
						t.Fatal(err)
					}
					if n, err := db.Collection(name).CountDocuments(t.Context(), f); err != nil || n != want {
						t.Errorf("%s: %d documents match %s, want %d (%v)", name, n, filter, want, err)
					}
				}
			}
			undone, err := backfill.Undo(t.Context(), app, result.Run, nil)
			if r.final {
				if !errors.Is(err, backfill.ErrNoUndo) {
					t.Errorf("undo: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("undo: %v, %+v", err, undone)
			}
			if after := contents(t, db); !bytes.Equal(before, after) {
				t.Errorf("the undo left something else than there was:\n%s\n%s", before, after)
			}
		})
	}
}

// contents are all documents of a database, byte by byte.
func contents(t *testing.T, db *mongo.Database) []byte {
	t.Helper()
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range slices.Sorted(slices.Values(names)) {
		cur, err := db.Collection(name).Find(context.WithoutCancel(t.Context()), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		var docs []bson.Raw
		if err := cur.All(t.Context(), &docs); err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			all.WriteString(name + "\n")
			all.Write(doc)
		}
	}
	return all.Bytes()
}

// On its sample data each recipe has something to do, and does it without a failure.
func TestSampleData(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	for range 2 { // what is there already stays
		if err := seed(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	prices := filepath.Join(t.TempDir(), "prices.csv")
	if err := os.WriteFile(prices, []byte("sku,price\na,100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	app := rikkitest.App(t, db, scripts()...)
	for _, r := range recipes(t) {
		switch r.script {
		case "import-prices":
			r.params = map[string]any{"file": prices}
		case "encrypt-phone":
		default:
			r.params = nil
		}
		result, err := app.Run(t.Context(), r.script, &rikki.RunOptions{Params: r.params})
		if err != nil {
			t.Fatalf("%s: %v", r.script, err)
		}
		if s := result.Value.(*backfill.Summary); s.Changed+s.Deleted == 0 {
			t.Errorf("%s changed nothing: %+v", r.script, s)
		}
	}
}

// An encrypted field can be decrypted with the _id of its document only.
func TestEncryptionIsBoundToItsDocument(t *testing.T) {
	t.Parallel()
	script := &EncryptPhone{Key: params.Secret(strings.Repeat("0f", 32))}
	id := func(v any) bson.RawValue {
		kind, data, err := bson.MarshalValue(v)
		if err != nil {
			t.Fatal(err)
		}
		return bson.RawValue{Type: kind, Value: data}
	}
	gcm, err := script.cipher()
	if err != nil {
		t.Fatal(err)
	}
	sealed := gcm.Seal(nil, nil, []byte("555-1234"), owner(id(int32(1))))
	if plain, err := gcm.Open(nil, nil, sealed, owner(id(int32(1)))); err != nil || string(plain) != "555-1234" {
		t.Errorf("got %q, %v", plain, err)
	}
	for _, other := range []any{int32(2), int64(1), "1"} {
		if plain, err := gcm.Open(nil, nil, sealed, owner(id(other))); err == nil {
			t.Errorf("as %v of %T it is %q", other, other, plain)
		}
	}
}

// What somebody passes as a parameter stays a value, and a name a name.
func TestParametersAreNoExpressions(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	if _, err := db.Collection("accounts").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "secret", Value: "s"}}); err != nil {
		t.Fatal(err)
	}
	app := rikkitest.App(t, db, scripts()...)
	if _, err := app.Run(t.Context(), "add-default", &rikki.RunOptions{Params: map[string]any{"plan": "$secret"}}); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Collection("accounts").CountDocuments(t.Context(), bson.D{{Key: "plan", Value: "$secret"}}); err != nil || n != 1 {
		t.Errorf("%d have the text (%v)", n, err)
	}
	for _, name := range []string{"$ROOT", "a.b", "a$b", ""} {
		if _, err := app.Run(t.Context(), "rename-field", &rikki.RunOptions{Params: map[string]any{"collection": "accounts", "from": name}}); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
}
