package rawbson_test

import (
	"bytes"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// A document that is taken apart and put together again is the same, and one that is cut short is seen as such.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	doc, err := bson.Marshal(bson.D{
		{Key: "_id", Value: 1},
		{Key: "text", Value: "x"},
		{Key: "", Value: nil},
		{Key: "nested", Value: bson.D{{Key: "a", Value: bson.A{1.5, true}}}},
		{Key: "pattern", Value: bson.Regex{Pattern: "a", Options: "i"}},
		{Key: "code", Value: bson.CodeWithScope{Code: "x", Scope: bson.D{}}},
		{Key: "data", Value: []byte{1, 2}},
		{Key: "id", Value: bson.NewObjectID()},
		{Key: "n", Value: bson.Decimal128{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	again, start := rawbson.Open([]byte("before"))
	rest, ok := rawbson.Fields(doc)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); e.Kind == bson.TypeEmbeddedDocument {
			content, _ := rawbson.Fields(e.Value)
			var nested int
			again, nested = rawbson.OpenField(again, e.Kind, e.Name)
			again = rawbson.Close(append(again, content...), nested)
		} else {
			again = rawbson.Append(again, e.Name, e.RawValue())
		}
	}
	if again = rawbson.Close(again, start); !ok || !bytes.Equal(again[start:], doc) {
		t.Errorf("got %s\nwant %s", bson.Raw(again[start:]), bson.Raw(doc))
	}
	if e, ok := rawbson.Lookup(doc, "text"); !ok || e.RawValue().StringValue() != "x" {
		t.Errorf("found %v, %v", e, ok)
	}
	content, _ := rawbson.Fields(doc)
	for n := range len(content) {
		rest, ok := content[:n], true
		for ok && len(rest) > 0 {
			_, rest, ok = rawbson.Next(rest)
		}
		if whole := bson.Raw(append(append([]byte{byte(n + 5), 0, 0, 0}, content[:n]...), 0)).Validate() == nil; ok != whole && n < 250 {
			t.Errorf("the first %d bytes: read %v, valid %v", n, ok, whole)
		}
	}
}
