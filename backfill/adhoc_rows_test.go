package backfill_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// people makes a collection with a unique index on email, and one on team that isn't unique.
func people(t *testing.T, db *mongo.Database) *mongo.Collection {
	t.Helper()
	coll := db.Collection("people")
	_, err := coll.Indexes().CreateMany(t.Context(), []mongo.IndexModel{
		{Keys: bson.D{{Key: "email", Value: 1}}, Options: options.Index().SetUnique(true)},
		{Keys: bson.D{{Key: "team", Value: 1}}},
		{Keys: bson.D{{Key: "old", Value: 1}}, Options: options.Index().SetUnique(true).SetPartialFilterExpression(bson.D{{Key: "old", Value: bson.D{{Key: "$gt", Value: 5}}}})},
	})
	if err != nil {
		t.Fatal(err)
	}
	insert(
		t, coll,
		bson.D{{Key: "_id", Value: 1}, {Key: "email", Value: "ann@x"}, {Key: "name", Value: "Ann"}, {Key: "keep", Value: "k"}, {Key: "team", Value: "a"}},
		bson.D{{Key: "_id", Value: 2}, {Key: "email", Value: "bob@x"}, {Key: "name", Value: "Bob"}, {Key: "address", Value: bson.D{{Key: "zip", Value: "1"}, {Key: "city", Value: "B"}}}, {Key: "team", Value: "a"}},
	)
	return coll
}

// stateOf is the collection as canonical extended JSON, in the order of the emails, without the _ids that a run has made.
func stateOf(t *testing.T, coll *mongo.Collection) []string {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "email", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, doc := range docs {
		var d bson.D
		if err := bson.Unmarshal(doc, &d); err != nil {
			t.Fatal(err)
		}
		if _, made := d[0].Value.(bson.ObjectID); made {
			d = d[1:]
		}
		text, err := bson.MarshalExtJSON(d, false, false)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

func TestRowsOfAFileChangeDocumentsByAField(t *testing.T) {
	t.Parallel()
	const ann = `{"_id":1,"email":"ann@x","name":"Ann","keep":"k","team":"a"}`
	const bob = `{"_id":2,"email":"bob@x","name":"Bob","address":{"zip":"1","city":"B"},"team":"a"}`
	for name, c := range map[string]struct {
		file, text string
		params     map[string]any
		want       []string // what is there afterwards; nil: what was there
		failed     int64
		wrong      string
	}{
		"UpsertSetsNamedFieldsAlone": {
			file: "u.csv", text: "email,name,address.city\nann@x,Anna,A\nbob@x,Bob,C\nnew@x,New,N\n", params: map[string]any{"upsert-by": "email"},
			want: []string{
				`{"_id":1,"email":"ann@x","name":"Anna","keep":"k","team":"a","address":{"city":"A"}}`,
				`{"_id":2,"email":"bob@x","name":"Bob","address":{"zip":"1","city":"C"},"team":"a"}`,
				`{"email":"new@x","name":"New","address":{"city":"N"}}`,
			},
		},
		"TheSameNewValueTwiceMakesOneDocument": {
			file: "u.csv", text: "email,name,n\nnew@x,One,\nnew@x,Two,\n", params: map[string]any{"upsert-by": "email"},
			want: []string{ann, bob, `{"email":"new@x","name":"Two","n":""}`},
		},
		"TypesColumnsAndEmptyCells": {
			file: "u.csv", text: "mail;age;at;ok;x;zip;score;big;price\nann@x;41;2026-01-02;true;\"{\"\"a\"\": 1}\";007;1.50;5;1.10\nbob@x;;;;;;;;\n",
			params: map[string]any{
				"update-by": "email", "separator": ";", "empty": "skip",
				"columns": []string{"mail=email", "age", "at", "ok", "zip", "score", "big", "price=cost.net"},
				"types":   []string{"age=int", "at=date", "ok=bool", "score=double", "big=long", "price=decimal"},
			},
			want: []string{
				`{"_id":1,"email":"ann@x","name":"Ann","keep":"k","team":"a","age":41,"at":{"$date":"2026-01-02T00:00:00Z"},"big":5,"cost":{"net":{"$numberDecimal":"1.10"}},"ok":true,"score":1.5,"zip":"007"}`,
				bob,
			},
		},
		"EmptyIsNull":  {file: "u.tsv", text: "email\tname\nann@x\t\n", params: map[string]any{"update-by": "email", "empty": "null"}, want: []string{`{"_id":1,"email":"ann@x","name":null,"keep":"k","team":"a"}`, bob}},
		"EmptyIsUnset": {file: "u.tsv", text: "email\tname\nann@x\t\n", params: map[string]any{"update-by": "email", "empty": "unset"}, want: []string{`{"_id":1,"email":"ann@x","keep":"k","team":"a"}`, bob}},
		"EmptyIsText":  {file: "u.tsv", text: "email\tname\nann@x\t\n", params: map[string]any{"update-by": "email"}, want: []string{`{"_id":1,"email":"ann@x","name":"","keep":"k","team":"a"}`, bob}},
		"AnEmptyCellIsNoNumber": {
			file: "u.csv", text: "email,n\nann@x,\nbob@x,x\n", params: map[string]any{"update-by": "email", "types": []string{"n=int"}}, failed: 2,
		},
		"ByIDOfAnotherType": {
			file: "u.csv", text: "_id,name\n1,Anna\n", params: map[string]any{"update-by": "_id", "types": []string{"_id=double"}},
			want: []string{`{"_id":1,"email":"ann@x","name":"Anna","keep":"k","team":"a"}`, bob},
		},
		"AMissingDocumentFailsItsRow": {
			file: "u.csv", text: "_id,name\n1,Anna\n", params: map[string]any{"update-by": "_id"}, failed: 1, // a text finds no number
		},
		"UpsertByID": {
			file: "u.csv", text: "_id,email\n7,z@x\n1,ann@x\n", params: map[string]any{"upsert-by": "_id", "types": []string{"_id=int"}},
			want: []string{ann, bob, `{"_id":7,"email":"z@x"}`},
		},
		"DeleteBy":                    {file: "u.csv", text: "email,x\nann@x,1\nann@x,2\nnobody@x,3\n", params: map[string]any{"delete-by": "email"}, want: []string{bob}, failed: 2},
		"SeveralDocumentsFailTheRow":  {file: "u.csv", text: "team,name\na,X\n", params: map[string]any{"update-by": "team"}, failed: 1},
		"NDJSONKeepsTypesAndOrder":    {file: "u.ndjson", text: "{\"email\": \"new@x\", \"d\": {\"z\": 1.0, \"a\": {\"$numberLong\": \"5\"}}, \"n\": null}\r{\"email\": \"ann@x\", \"name\": 7}\n", params: map[string]any{"upsert-by": "email"}, want: []string{`{"_id":1,"email":"ann@x","name":7,"keep":"k","team":"a"}`, bob, `{"email":"new@x","d":{"z":1.0,"a":5},"n":null}`}},
		"NDJSONThatLosesNothing":      {file: "u.ndjson", text: "{\"email\": \"ann@x\", \"name\": 12345678901234567890}\n{\"email\": \"ann@x\", \"name\": 1, \"name\": 2}\n{\"email\": \"ann@x\", \"d\": {\"a\": [{\"b\": 1, \"b\": 2}]}}\n", params: map[string]any{"update-by": "email"}, failed: 3},
		"CROnly":                      {file: "u.csv", text: "email,name\rann@x,Anna\rbob@x,\"Bo\rb\"\r", params: map[string]any{"update-by": "email"}, want: []string{`{"_id":1,"email":"ann@x","name":"Anna","keep":"k","team":"a"}`, `{"_id":2,"email":"bob@x","name":"Bo\rb","address":{"zip":"1","city":"B"},"team":"a"}`}},
		"MarkAndQuotedHeader":         {file: "u.csv", text: "\ufeff\"email\",\"name\"\r\n\"ann@x\",\"An\r\nna\"\r\n", params: map[string]any{"update-by": "email"}, want: []string{`{"_id":1,"email":"ann@x","name":"An\r\nna","keep":"k","team":"a"}`, bob}},
		"SeparatorOfASpreadsheet":     {file: "u.csv", text: "sep=;\r\nemail;name\r\nann@x;Anna\r\n", params: map[string]any{"update-by": "email"}, want: []string{`{"_id":1,"email":"ann@x","name":"Anna","keep":"k","team":"a"}`, bob}},
		"WithoutTheColumn":            {file: "u.csv", text: "mail,name\nann@x,Anna\n", params: map[string]any{"upsert-by": "email"}, wrong: `there is no column email; the columns are "mail", "name". The field email is to find the documents; --columns=COLUMN=email says which column it is`},
		"AnotherSeparator":            {file: "u.csv", text: "email;name\nann@x;Anna\n", params: map[string]any{"upsert-by": "email"}, wrong: `only one, called "email;name": are the columns separated by ';'? Say so, with --separator`},
		"TabsInCSV":                   {file: "u.csv", text: "email\tname\nann@x\tAnna\n", params: map[string]any{"upsert-by": "email"}, wrong: `are the columns separated by '\t'`},
		"TheKeyIsLeftOut":             {file: "u.csv", text: "email,name\nann@x,Anna\n", params: map[string]any{"upsert-by": "email", "columns": []string{"name"}}, wrong: `the column email is left out by --columns`},
		"SpacesInTheHeader":           {file: "u.csv", text: " email , name\nann@x,Anna\n", params: map[string]any{"upsert-by": "email"}, wrong: `one called " email ": take the spaces out of the header`},
		"ATypeWithoutColumn":          {file: "u.csv", text: "email,name\nann@x,Anna\n", params: map[string]any{"upsert-by": "email", "types": []string{"age=int"}}, wrong: "--types: there is no column age"},
		"ColumnsThatOverlap":          {file: "u.csv", text: "email,a,a.b\nann@x,1,2\n", params: map[string]any{"upsert-by": "email"}, wrong: "the columns a and a.b would both set a"},
		"AColumnThatIsAnOperator":     {file: "u.csv", text: "email,$set\nann@x,1\n", params: map[string]any{"upsert-by": "email"}, wrong: `"$set" is no name of a field`},
		"NDJSONWithoutTheField":       {file: "u.ndjson", text: "{\"mail\": 1}\n", params: map[string]any{"upsert-by": "email"}, wrong: "the first document has no field email"},
		"AnArrayOfJSON":               {file: "u.json", text: "\n[{\"email\": 1}]\n", params: map[string]any{"upsert-by": "email"}, wrong: "the file is a JSON array"},
		"NoUniqueIndex":               {file: "u.csv", text: "team,name\nb,Anna\n", params: map[string]any{"upsert-by": "team"}, wrong: "has no unique index on team alone"},
		"NoIndex":                     {file: "u.csv", text: "keep,name\nk,Anna\n", params: map[string]any{"update-by": "keep"}, wrong: "has no index that begins with keep"},
		"AnIndexThatLeavesOut":        {file: "u.csv", text: "old,name\n1,Anna\n", params: map[string]any{"update-by": "old"}, wrong: "has no index that begins with old"},
		"AQuoteThatIsNotClosed":       {file: "u.csv", text: "email,name\nann@x,\"Anna\nbob@x,Bo\n", params: map[string]any{"update-by": "email"}, wrong: "the row of line 2 goes on to line 3, and a quote in it is wrong: the quote isn't closed"},
		"UTF16":                       {file: "u.csv", text: "\xff\xfee\x00", params: map[string]any{"update-by": "email"}, wrong: "save it as UTF-8"},
		"AnotherIDForAKnownDocument":  {file: "u.csv", text: "_id,email\n9,ann@x\n", params: map[string]any{"upsert-by": "email"}, failed: 1},
		"AnEmptyValueFindsNoDocument": {file: "u.csv", text: "email,name\n,Anna\n", params: map[string]any{"upsert-by": "email"}, failed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, chunk := range []int{1, 50} {
				db := rikkitest.DB(t)
				coll := people(t, db)
				given := map[string]any{"collection": "people", "file": rowsOf(t, c.file, c.text), "chunk": chunk, "max-failures": 0}
				maps.Copy(given, c.params)
				s, err := summary(t, db, backfill.NewAdHoc(), given)
				if c.wrong != "" {
					if err == nil || !strings.Contains(err.Error(), c.wrong) {
						t.Errorf("error %v,\nwant one with %s", err, c.wrong)
					}
				} else if s.Failed != c.failed || err != nil && !isPartial(err, c.failed) {
					t.Errorf("error %v, summary %+v", err, s)
				}
				want := c.want
				if want == nil {
					want = []string{ann, bob}
				}
				if diff := cmp.Diff(want, stateOf(t, coll)); diff != "" {
					t.Errorf("chunks of %d (-want +got):\n%s", chunk, diff)
				}
			}
		})
	}
}

// Changed, inserted and deleted: the undo of rows brings every byte back, and the dry run changes none.
func TestRowsOfAFileAreTriedAndUndone(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	coll := people(t, db)
	was := stateOf(t, coll)
	var rows strings.Builder
	rows.WriteString("email,name\nann@x,Anna\nbob@x,Bob\n")
	for i := range 300 {
		fmt.Fprintf(&rows, "n%d@x,N\n", i)
	}
	app := rikkitest.App(t, db, backfill.NewAdHoc())
	run := runOf(t, app, rowsOf(t, "u.csv", rows.String()), "upsert-by", true)
	if f := run.Value.(*backfill.Forecast); f.Matched != 302 || f.Changed != 99 || f.Unchanged != 1 {
		t.Errorf("forecast %+v", f)
	}
	if diff := cmp.Diff(was, stateOf(t, coll)); diff != "" {
		t.Errorf("a dry run changed something:\n%s", diff)
	}
	run = runOf(t, app, rowsOf(t, "u.csv", rows.String()), "upsert-by", false)
	if s := run.Value.(*backfill.Summary); s.Matched != 302 || s.Changed != 301 || s.Unchanged != 1 {
		t.Errorf("summary %+v", s)
	}
	deletion := runOf(t, app, rowsOf(t, "d.csv", "email\nann@x\nn7@x\n"), "delete-by", false)
	for _, id := range []string{deletion.Run, run.Run} {
		if _, err := backfill.Undo(t.Context(), app, id, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(was, stateOf(t, coll)); diff != "" {
		t.Errorf("the undo left something:\n%s", diff)
	}
}

// runOf runs the rows of a file.
func runOf(t *testing.T, app *rikki.App, file, how string, dry bool) *rikki.Result {
	t.Helper()
	result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{
		DryRun: dry, Params: map[string]any{"collection": "people", "file": file, how: "email"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// A run that paused goes on behind the last row that was done, and a retry takes the rows that failed alone.
func TestRowsOfAFileGoOnAndAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"csv", "ndjson"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			coll := db.Collection("people")
			rows, missing := []string{"_id,name"}, map[int]bool{10: true, 40: true, 41: true}
			var docs []any
			for i := range 100 {
				rows = append(rows, fmt.Sprintf("%d,\"N\r%d\"", i, i))
				if kind == "ndjson" {
					rows[i+1] = fmt.Sprintf(`{"_id": %d, "name": "N\r%[1]d"}`, i)
				}
				if !missing[i] {
					docs = append(docs, bson.D{{Key: "_id", Value: i}})
				}
			}
			insert(t, coll, docs...)
			given := map[string]any{"collection": "people", "update-by": "_id", "chunk": 7, "max-failures": 1}
			if kind == "csv" {
				given["types"] = []string{"_id=int"}
			} else {
				rows = rows[1:]
			}
			given["file"] = rowsOf(t, "u."+kind, strings.Join(rows, "\r\n"))
			app := rikkitest.App(t, db, backfill.NewAdHoc())
			result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: given})
			if !errors.Is(err, rikki.ErrPaused) {
				t.Fatalf("error %v", err)
			}
			result, err = app.Continue(t.Context(), result.Run, nil)
			if s := result.Value.(*backfill.Summary); !isPartial(err, 3) || s.Matched != 100 || s.Changed != 97 || s.Unchanged != 0 {
				t.Fatalf("error %v, summary %+v", err, s)
			}
			for i := range missing {
				insert(t, coll, bson.D{{Key: "_id", Value: i}})
			}
			given["failed-of"], given["max-failures"] = result.Run, 0
			result, err = app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: given})
			if err != nil {
				t.Fatal(err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != 3 {
				t.Errorf("summary %+v", s)
			}
			if n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "name", Value: bson.D{{Key: "$exists", Value: true}}}}); err != nil || n != 100 {
				t.Errorf("%d of 100 have a name (%v)", n, err)
			}
		})
	}
}

// Texts that a collection takes for equal find its documents, and make no second one.
func TestRowsFindDocumentsAsTheServerDoes(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	if err := db.CreateCollection(t.Context(), "people", options.CreateCollection().SetCollation(&options.Collation{Locale: "en", Strength: 2})); err != nil {
		t.Fatal(err)
	}
	coll := people(t, db)
	s, err := summary(t, db, backfill.NewAdHoc(), map[string]any{
		"collection": "people", "upsert-by": "email", "file": rowsOf(t, "u.csv", "email,name\nANN@x,Anna\nann@X,Anne\nNEW@x,New\n"),
	})
	if err != nil || s.Changed != 3 {
		t.Errorf("error %v, summary %+v", err, s)
	}
	want := []string{
		`{"_id":1,"email":"ann@x","name":"Anne","keep":"k","team":"a"}`,
		`{"_id":2,"email":"bob@x","name":"Bob","address":{"zip":"1","city":"B"},"team":"a"}`,
		`{"email":"NEW@x","name":"New"}`,
	}
	if diff := cmp.Diff(want, stateOf(t, coll)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
