package bsondiff_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/bsondiff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDocuments(t *testing.T) {
	t.Parallel()
	from := bson.D{
		{Key: "same", Value: 1},
		{Key: "type", Value: int32(1)},
		{Key: "gone", Value: "x"},
		{Key: "sub", Value: bson.D{{Key: "a.b", Value: 1}, {Key: "c", Value: 2}}},
		{Key: "list", Value: bson.A{1, bson.D{{Key: "x", Value: 1}}, 3}},
	}
	to := bson.D{
		{Key: "sub", Value: bson.D{{Key: "c", Value: 2}, {Key: "a.b", Value: 9}}},
		{Key: "same", Value: 1},
		{Key: "type", Value: int64(1)},
		{Key: "list", Value: bson.A{1, bson.D{{Key: "x", Value: 2}}}},
		{Key: "new", Value: true},
	}
	changes, err := bsondiff.Documents(raw(t, from), raw(t, to))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.Path+": "+show(c.From)+" -> "+show(c.To))
	}
	want := []string{
		`type: {"$numberInt":"1"} -> {"$numberLong":"1"}`, `gone: "x" -> -`,
		`sub["a.b"]: {"$numberInt":"1"} -> {"$numberInt":"9"}`,
		`list[1].x: {"$numberInt":"1"} -> {"$numberInt":"2"}`, `list[2]: {"$numberInt":"3"} -> -`,
		`new: - -> true`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

func TestNothingAgainstADocument(t *testing.T) {
	t.Parallel()
	doc := raw(t, bson.D{{Key: "a", Value: 1}})
	added, err := bsondiff.Documents(nil, doc)
	if err != nil || len(added) != 1 || !added[0].From.IsZero() {
		t.Errorf("changes %v, %v; want one field added", added, err)
	}
	removed, err := bsondiff.Documents(doc, nil)
	if err != nil || len(removed) != 1 || !removed[0].To.IsZero() {
		t.Errorf("changes %v, %v; want one field removed", removed, err)
	}
	if same, err := bsondiff.Documents(doc, doc); err != nil || len(same) != 0 {
		t.Errorf("changes %v, %v; want none", same, err)
	}
}

func raw(t *testing.T, doc any) bson.Raw {
	t.Helper()
	data, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func show(v bson.RawValue) string {
	if v.IsZero() {
		return "-"
	}
	return v.String()
}
