package backfill

import (
	"bytes"
	"math"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type named string

// What is encoded in place comes out as package bson has it, and so does what isn't.
func TestFieldsAreEncodedAsPackageBSONDoes(t *testing.T) {
	t.Parallel()
	simple := bson.D{
		{Key: "nil", Value: nil},
		{Key: "text", Value: "Zoë \x00 \xff"},
		{Key: "empty", Value: ""},
		{Key: "yes", Value: true},
		{Key: "no", Value: false},
		{Key: "int", Value: -7},
		{Key: "large int", Value: math.MaxInt32 + 1},
		{Key: "least int", Value: math.MinInt32},
		{Key: "int32", Value: int32(-1)},
		{Key: "int64", Value: int64(1)},
		{Key: "double", Value: -0.5},
		{Key: "NaN", Value: math.NaN()},
		{Key: "", Value: "no name"},
		{Key: "time", Value: time.Unix(1_700_000_000, 999_999_999)},
		{Key: "before 1970", Value: time.Unix(-1, 1)},
		{Key: "zero time", Value: time.Time{}},
		{Key: "id", Value: bson.NewObjectID()},
	}
	others := bson.D{
		{Key: "named", Value: named("x")},
		{Key: "list", Value: []string{"a"}},
		{Key: "doc", Value: bson.M{"a": 1}},
		{Key: "pointer", Value: new(7)},
		{Key: "stamp", Value: bson.Timestamp{T: 1}},
		{Key: "raw", Value: bson.RawValue{Type: bson.TypeNull}},
	}
	check := func(fields bson.D) {
		want, err := bson.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var change Change
		for _, field := range fields {
			change = change.Set(field.Key, field.Value)
		}
		got, err := (&encoder{key: "_id"}).encode(change)
		if err != nil || !bytes.Equal(got.set, want) {
			t.Errorf("%v: got %s (%v)\nwant %s", fields, got.set, err, bson.Raw(want))
		}
	}
	check(simple)
	for _, field := range simple {
		if _, ok := appendSimple(nil, field.Key, field.Value); !ok {
			t.Errorf("%s is not encoded in place", field.Key)
		}
	}
	for _, field := range others {
		check(append(simple[:3:3], field))
	}
	for _, c := range []Change{Set("a\x00b", "c"), Unset("a\x00b"), Set("a", make(chan int))} {
		if _, err := (&encoder{key: "_id"}).encode(c); err == nil {
			t.Errorf("%+v was encoded", c)
		}
	}
}
