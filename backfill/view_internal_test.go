package backfill

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type plainType struct {
	ID      bson.ObjectID `bson:"_id"`
	Email   string
	SentAt  time.Time
	Phone   *string        `bson:"phoneNumber,omitempty"`
	Extra   map[string]any `bson:"extra"`
	Ignored string         `bson:"-"`
	Bare    int            `bson:"bare_name"`
	hidden  int
	Nested  `bson:"nested"`
}

type Nested struct{ A, B int }

type inlined struct {
	Nested  `bson:",inline"`
	Pointer *plainType `bson:",inline"`
}

type withMap struct {
	ID   bson.ObjectID `bson:"_id"`
	Rest bson.M        `bson:",inline"`
}

type decoding struct{ A int }

func (*decoding) UnmarshalBSON([]byte) error { return nil }

type decodingValue struct{ A int }

func (*decodingValue) UnmarshalBSONValue(byte, []byte) error { return nil }

// What is fetched is all that package bson would look for in a type, whatever capitals it has in the document.
func TestWhatATypeSees(t *testing.T) {
	t.Parallel()
	seen := func(of reflect.Type) string {
		v := &view{names: map[string]bool{}, loose: map[string]uint64{}}
		if !v.add(of) {
			return "all"
		}
		return strings.Join(slices.Sorted(maps.Keys(v.names)), " ")
	}
	const plain = "BARE_NAME Bare_name EMAIL Email NESTED Nested SENTAT SentAt Sentat EXTRA Extra _id bare_name email extra nested phoneNumber sentAt sentat"
	sorted := func(text string) string { return strings.Join(slices.Sorted(strings.FieldsSeq(text)), " ") }
	for of, want := range map[reflect.Type]string{
		reflect.TypeFor[plainType]():     plain,
		reflect.TypeFor[*plainType]():    plain,
		reflect.TypeFor[inlined]():       plain + " a A b B",
		reflect.TypeFor[struct{}]():      "",
		reflect.TypeFor[withMap]():       "all",
		reflect.TypeFor[decoding]():      "all",
		reflect.TypeFor[*decoding]():     "all",
		reflect.TypeFor[decodingValue](): "all",
		reflect.TypeFor[bson.Raw]():      "all",
		reflect.TypeFor[bson.RawValue](): "all",
		reflect.TypeFor[bson.D]():        "all",
		reflect.TypeFor[bson.M]():        "all",
		reflect.TypeFor[any]():           "all",
		reflect.TypeFor[struct {
			Dotted int `bson:"a.b"`
		}](): "all",
		reflect.TypeFor[struct {
			Dollar int `bson:"$a"`
		}](): "all",
	} {
		if got := seen(of); got != sorted(want) {
			t.Errorf("%s sees\n%s, want\n%s", of, got, sorted(want))
		}
	}
	_ = plainType{}.hidden
}

// A document is decoded from its part as from the whole of it, unless the part lacks a field.
func TestPartsDecodeAsTheirDocuments(t *testing.T) {
	t.Parallel()
	v := &view{names: map[string]bool{"_id": true}, loose: map[string]uint64{}}
	if !v.add(reflect.TypeFor[plainType]()) {
		t.Fatal("the type sees all")
	}
	value := func(name string) any {
		switch strings.ToLower(name) {
		case "sentat":
			return time.Unix(1, 0)
		case "bare_name":
			return 7
		case "extra", "nested":
			return bson.D{{Key: "a", Value: 1}}
		}
		return name
	}
	lacking := 0
	for i, names := range [][]string{
		{"email", "sentat", "bare_name", "extra", "nested", "other"},
		{"Email", "email", "sentAt", "sentat", "bare_name", "Extra", "extra", "nested", "PhoneNumber"},
		{"email", "EMAIL", "sentat", "bare_name", "extra", "nested", "NESTED", "phoneNumber"},
		{"eMail", "sentat", "bare_name", "extra", "nested"},
		{"email", "seNTat", "bare_name", "extra", "nested"},
		{},
	} {
		doc, part := bson.D{{Key: "_id", Value: bson.NewObjectID()}}, bson.D{}
		for _, name := range names {
			doc = append(doc, bson.E{Key: name, Value: value(name)})
		}
		for _, e := range doc {
			if v.names[e.Key] {
				part = append(part, e)
			}
		}
		whole, _ := bson.Marshal(doc)
		item, _ := bson.Marshal(part)
		if v.lacks(item) {
			lacking++
			continue
		}
		var fromWhole, fromPart plainType
		if err := bson.Unmarshal(whole, &fromWhole); err != nil {
			t.Fatal(err)
		}
		if err := bson.Unmarshal(item, &fromPart); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(fromWhole, fromPart) {
			t.Errorf("%d: %+v\nwant %+v", i, fromPart, fromWhole)
		}
	}
	if lacking != 3 {
		t.Errorf("%d documents lack a field, want 3", lacking)
	}
}

// Reading parts ends where too many of the documents are read again, and not because of a few.
func TestPartsAreReadAsLongAsTheySave(t *testing.T) {
	t.Parallel()
	v := &view{}
	for range 1000 {
		v.learn(1000, 150)
		v.learn(3, 3)
	}
	if v.open() == nil {
		t.Error("the parts are given up")
	}
	v.learn(100, 100)
	if v.open() != nil {
		t.Error("the parts are read again and again")
	}
}
