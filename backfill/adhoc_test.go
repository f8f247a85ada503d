package backfill_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/rikkitest"
)

// A document that the server wrote as it was is not counted as changed.
func TestADocumentThatStaysAsItIsIsUnchanged(t *testing.T) {
	t.Parallel()
	for _, update := range []string{
		`[{"$project": {"_id": 0}}]`, `[{"$replaceWith": "$$ROOT"}]`, `[{"$replaceRoot": {"newRoot": {"$mergeObjects": ["$$ROOT", {}]}}}]`,
		`[{"$project": {"_id": 0, "i": 1, "email": 1}}]`, `[{"$set": {"i": "$i"}}]`, `{"$min": {"i": 1000}}`,
	} {
		for _, dry := range []bool{true, false} {
			t.Run(fmt.Sprint(update, dry), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				for i := range 50 {
					insert(t, db.Collection("users"), bson.D{{Key: "_id", Value: i}, {Key: "i", Value: i}, {Key: "email", Value: "x"}})
				}
				result, err := rikkitest.Try(t, db, backfill.NewAdHoc(), &rikki.RunOptions{DryRun: dry, Params: map[string]any{"collection": "users", "update": update}})
				if err != nil {
					t.Fatal(err)
				}
				var changed, unchanged int64
				switch r := result.Value.(type) {
				case *backfill.Summary:
					changed, unchanged = r.Changed, r.Unchanged
				case *backfill.Forecast:
					changed, unchanged = r.Changed, r.Unchanged
				}
				if changed != 0 || unchanged != 50 {
					t.Errorf("%d changed, %d unchanged", changed, unchanged)
				}
			})
		}
	}
}

// What is no change of fields is refused by what it is, before anything is written.
func TestAnUpdateThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for update, want := range map[string]string{
		`[1]`:                                   `stage 1 is {"$numberInt":"1"}, and a stage is an object`,
		`["$set"]`:                              "stage 1 is",
		`[{"$set": {"a": 1}, "b": 1}]`:          "stage 1 has 2 names",
		`[{}]`:                                  "stage 1 has 0 names",
		`[{"$sett": {"a": 1}}]`:                 "$sett is no stage of an update; there are $set, $addFields, $unset, $project, $replaceRoot, $replaceWith. Did you mean $set?",
		`[{"$match": {}}]`:                      "$match is no stage of an update",
		`{"$sett": {"a": 1}}`:                   "Did you mean $set?",
		`{"$set": 5}`:                           "$set is",
		`{"$set": {}}`:                          "$set is empty and would change nothing",
		`{"$set": {"a": 1}, "b": 2}`:            `"b" is no operator`,
		`"$set"`:                                `is "$set"; it has to be`,
		`null`:                                  "is null; it has to be",
		`{"$set": {"a": 12345678901234567890}}`: "$set.a: 12345678901234567890 is beyond 64 bits",
		`{"$set": {"a": 1, "a": 2}}`:            "$set.a is there twice",
		`{"$set": {"a": 1e999}}`:                "$set.a: 1e999 is beyond a double",
		`{"$set": {"a": "\ud800"}}`:             "half a character",
		`{"$set": {"a": 1}} {"$set": {"b": 1}}`: "is not valid JSON",
	} {
		err := adHocError(t, map[string]any{"collection": "c", "update": update})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %s", update, err, want)
		}
	}
	for filter, want := range map[string]string{
		`[1]`: "it is no object", `5`: "it is no object", `"a"`: "it is no object", `null`: "it is no object",
		`{"n": 12345678901234567890}`: "n: 12345678901234567890 is beyond 64 bits", `{"n": 1, "n": 2}`: "n is there twice", `{"n": {"$gt": 1, "$gt": 2}}`: "is there twice",
	} {
		err := adHocError(t, map[string]any{"collection": "c", "delete": true, "filter": filter})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %s", filter, err, want)
		}
	}
}

// adHocError is what the parameters are refused for.
func adHocError(t *testing.T, given map[string]any) error {
	t.Helper()
	info, err := rikkitest.App(t, rikkitest.DB(t), backfill.NewAdHoc()).Script(backfill.AdHocName)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := info.Params.FromMap(given, "api")
	if err != nil {
		return err
	}
	return info.Params.Fill(info.Fresh(), layer)
}

// parsedArgs is a command line, read.
func parsedArgs(t *testing.T, info rikki.ScriptInfo, args ...string) []params.Layer {
	t.Helper()
	parsed, err := params.ParseArgs(args, info.Params)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Flags
}

// A deletion takes all fields of a document, so none can be named as the only one that may change.
func TestFieldsContradictADeletion(t *testing.T) {
	t.Parallel()
	err := adHocError(t, map[string]any{"collection": "c", "delete": true, "fields": []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "fields: contradicts --delete: a deletion takes whole documents, so no field is safe from it") {
		t.Errorf("error %v", err)
	}
}

// Only whole top-level fields can be named as those that may change, in a script as on the command line.
func TestFieldsAreNoPaths(t *testing.T) {
	t.Parallel()
	const want = "o.b is a path; fields are top-level: o"
	err := adHocError(t, map[string]any{"collection": "c", "update": `{"$set": {"o.b": 1}}`, "fields": []string{"a", "o.b"}})
	if err == nil || !strings.Contains(err.Error(), "fields: "+want) {
		t.Errorf("error %v", err)
	}
}

// The words of --only are the values that they are written as, each once.
func TestOnlyTakesValuesOfAllKinds(t *testing.T) {
	t.Parallel()
	ids := []any{nil, "null", "a,b", " x ", 5, "5", bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 2}}, bson.D{{Key: "b", Value: 2}, {Key: "a", Value: 1}}, true, 1.5, "plain"}
	for word, c := range map[string]struct {
		want []int // of ids
		gone int64
	}{
		`null`:                               {[]int{0, 1}, 0},
		`"null"`:                             {[]int{1}, 0},
		`"a,b"," x ",plain`:                  {[]int{2, 3, 10}, 0},
		` plain , "a,b" `:                    {[]int{2, 10}, 0},
		`5,5,5`:                              {[]int{4, 5}, 0},
		`1.5,1.5,{"a":1,"b":2}`:              {[]int{6, 9}, 0},
		`[{"b":2,"a":1}, "a,b", true, null]`: {[]int{0, 1, 2, 7, 8}, 0},
		`nobody,nobody,true`:                 {[]int{8}, 1},
	} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			for i, id := range ids {
				insert(t, db.Collection("c"), bson.D{{Key: "_id", Value: id}, {Key: "i", Value: i}})
			}
			app := rikkitest.App(t, db, backfill.NewAdHoc())
			info, err := app.Script(backfill.AdHocName)
			if err != nil {
				t.Fatal(err)
			}
			layer := parsedArgs(t, info, "--collection=c", `--update={"$set": {"hit": true}}`, "--only="+word)
			result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: layer})
			if err != nil {
				t.Fatal(err)
			}
			if s := result.Value.(*backfill.Summary); s.Gone != c.gone {
				t.Errorf("summary %+v", s)
			}
			var hit []int
			for i, id := range ids {
				n, err := db.Collection("c").CountDocuments(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "hit", Value: true}})
				if err != nil {
					t.Fatal(err)
				}
				if n == 1 {
					hit = append(hit, i)
				}
			}
			if diff := cmp.Diff(c.want, hit); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
