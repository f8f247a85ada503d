package journal_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// What the server makes of usual updates is restored by paths, byte for byte, whatever else has changed since.
func TestServerUpdatesAreRestoredByPaths(t *testing.T) {
	t.Parallel()
	coll := mongotest.DB(t).Collection("docs")
	doc := d("_id", 1, "name", "Ada Lovelace", "email", "ADA@X.ORG", "tags", bson.A{"a"}, "n", 1, "address", d("street", "s", "city", "c", "geo", d("lat", 1.5)),
		"a.b", 1, "$x", 2, "", 3, "old", "o", "last", true)
	set := func(name string, value any) bson.D {
		return d("$replaceWith", d("$setField", d("field", d("$literal", name), "input", "$$ROOT", "value", value)))
	}
	for name, update := range map[string]any{
		"set":           bson.A{d("$set", d("email", d("$toLower", "$email")))},
		"add":           bson.A{d("$set", d("x", 1, "y", d("z", 1)))},
		"unset":         bson.A{d("$unset", bson.A{"email", "old"})},
		"rename":        bson.A{d("$set", d("mail", "$email")), d("$unset", "email")},
		"split":         bson.A{d("$set", d("first", d("$first", d("$split", bson.A{"$name", " "})))), d("$unset", "name")},
		"nested":        bson.A{d("$set", d("address.city", "d", "address.geo.lon", 2.5)), d("$unset", "address.street")},
		"merge":         bson.A{d("$replaceWith", d("$mergeObjects", bson.A{"$$ROOT", d("n", 2, "new", 1)}))},
		"flatten":       bson.A{d("$replaceWith", d("$mergeObjects", bson.A{"$$ROOT", "$address"})), d("$unset", "address")},
		"odd names":     bson.A{set("a.b", 9), set("$x", 9), set("", 9)},
		"odd names go":  bson.A{set("a.b", "$$REMOVE"), set("$x", "$$REMOVE"), set("", "$$REMOVE")},
		"array":         bson.A{d("$set", d("tags", d("$concatArrays", bson.A{"$tags", bson.A{"b"}})))},
		"operators":     d("$inc", d("n", 1), "$push", d("tags", "b"), "$rename", d("old", "older"), "$unset", d("email", 1), "$set", d("address.zip", 1)),
		"element":       d("$set", d("tags.0", "b")),
		"current date":  d("$currentDate", d("at", true)),
		"type":          bson.A{d("$set", d("n", d("$toLong", "$n")))},
		"all but an id": bson.A{d("$replaceWith", d("_id", "$_id", "n", 5))},
	} {
		before := put(t, coll, doc)
		if _, err := coll.UpdateByID(t.Context(), 1, update); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		after := get(t, coll)
		e := one(t, journal.Changed, before, after)
		if e.Op != journal.Update {
			t.Errorf("%s is kept as a %s", name, e.Op)
		}
		if _, err := coll.UpdateByID(t.Context(), 1, d("$set", d("theirs", 1))); err != nil {
			t.Fatal(err)
		}
		undo(t, coll, e)
		if _, err := coll.UpdateByID(t.Context(), 1, d("$unset", d("theirs", 1))); err != nil {
			t.Fatal(err)
		}
		if got := get(t, coll); string(got) != string(before) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, before)
		}
	}
}

func put(t *testing.T, coll *mongo.Collection, doc any) bson.Raw {
	t.Helper()
	if _, err := coll.DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if _, err := coll.InsertOne(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	return get(t, coll)
}

func get(t *testing.T, coll *mongo.Collection) bson.Raw {
	t.Helper()
	doc, err := coll.FindOne(t.Context(), bson.D{}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func undo(t *testing.T, coll *mongo.Collection, e journal.Entry) {
	t.Helper()
	r := restore(t, e, get(t, coll))
	if r.Action != journal.ActionReplace || len(r.Conflicts) > 0 {
		t.Fatalf("undone by %s, conflicts %v", r.Action, r.Conflicts)
	}
	update := bson.A{d("$replaceWith", d("$literal", r.Document))}
	if _, err := coll.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: e.ID}}, update); err != nil {
		t.Fatal(err)
	}
}
