package model_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/model"
)

type Address struct {
	Street string `bson:"street" minLength:"1"`
	Zip    string `bson:"zip,omitempty" pattern:"^[0-9]{5}$"`
}

type Audit struct {
	By string    `bson:"by"`
	At time.Time `bson:"at"`
}

type Level int

type Everything struct {
	ID       bson.ObjectID     `bson:"_id"`
	Email    string            `bson:"email" help:"Where we write to." pattern:"@" max:"40"`
	Role     string            `bson:"role" enum:"admin, member"`
	Age      *int              `bson:"age,omitempty" min:"0" max:"150"`
	Nick     *string           `bson:"nick"`
	Level    Level             `bson:"level" enum:"1,2,3"`
	Balance  bson.Decimal128   `bson:"balance" min:"-10.50"`
	Score    float64           `bson:"score" min:"0" max:"1"`
	Wait     time.Duration     `bson:"wait,omitempty" max:"1h"`
	Born     time.Time         `bson:"born"`
	Home     Address           `bson:"home"`
	Others   []Address         `bson:"others,omitempty" maxItems:"2"`
	Tags     []string          `bson:"tags" enum:"a,b,c" unique:"true"`
	Ratings  map[string]int    `bson:"ratings,omitempty" min:"1" max:"5"`
	Labels   map[string]string `bson:"labels,omitempty" maxItems:"1"`
	Photo    []byte            `bson:"photo,omitempty"`
	Raw      bson.Raw          `bson:"raw,omitempty"`
	Anything any               `bson:"anything,omitempty"`
	Maybe    bool              `required:"false"`
	Audit    `bson:",inline"`
	Ignored  string `bson:"-"`
	private  string
}

var everything = model.Collection[Everything]{Name: "everything"}

func valid() Everything {
	balance, _ := bson.ParseDecimal128("3.5")
	return Everything{
		ID: bson.NewObjectID(), Email: "ann@example.com", Role: "admin", Age: new(30), Level: 2, Balance: balance, Score: 0.5,
		Wait: time.Minute, Born: time.Date(1990, 1, 2, 0, 0, 0, 0, time.UTC), Home: Address{Street: "Main", Zip: "12345"},
		Others: []Address{{Street: "Side"}}, Tags: []string{"a", "b"}, Ratings: map[string]int{"go": 5},
		Labels: map[string]string{"x": "y"}, Photo: []byte{1}, Anything: 12, Audit: Audit{By: "ann"}, private: "unseen",
	}
}

func TestSchemaSaysWhatTheStructSays(t *testing.T) {
	t.Parallel()
	schema, err := model.Collection[struct {
		ID   string    `bson:"_id"`
		Home *Address  `bson:"home,omitempty" help:"Where."`
		Tags []string  `bson:"tags" enum:"a,b"`
		N    *int32    `bson:"n" enum:"1,2"`
		Opt  []*string `bson:"opt,omitempty" enum:"x"`
		At   time.Time `required:"false"`
	}]{}.Schema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := bson.MarshalExtJSON(schema, false, false)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"$jsonSchema":{"bsonType":"object","required":["_id","n","tags"],"properties":{` +
		`"_id":{"bsonType":"string"},` +
		`"home":{"bsonType":["object","null"],"required":["street"],"properties":{` +
		`"street":{"bsonType":"string","minLength":1},"zip":{"bsonType":"string","pattern":"^[0-9]{5}$"}},"description":"Where."},` +
		`"tags":{"bsonType":["array","null"],"items":{"bsonType":"string","enum":["a","b"]}},` +
		`"n":{"bsonType":["int","long","null"],"enum":[1,2,null]},` +
		`"opt":{"bsonType":"array","items":{"bsonType":["string","null"],"enum":["x",null]}},` +
		`"at":{"bsonType":"date"}}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The server's verdict counts: what the driver writes passes, and each rule refuses what it should.
func TestValidatorOnTheServer(t *testing.T) {
	t.Parallel()
	docs := everything.In(mongotest.DB(t))
	if _, err := docs.EnsureValidator(t.Context()); err != nil {
		t.Fatal(err)
	}
	insert := func(t *testing.T, change bson.D) error {
		t.Helper()
		full := valid()
		data, err := bson.Marshal(full)
		if err != nil {
			t.Fatal(err)
		}
		var doc bson.M
		if err := bson.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		for _, e := range change {
			if doc[e.Key] = e.Value; e.Value == "absent" {
				delete(doc, e.Key)
			}
		}
		_, err = docs.Coll().InsertOne(t.Context(), doc)
		return err
	}

	t.Run("AcceptsWhatTheDriverWrites", func(t *testing.T) {
		t.Parallel()
		full := valid()
		if err := docs.Insert(t.Context(), &full); err != nil {
			t.Error(err)
		}
		bare := Everything{Email: "@", Role: "member", Level: 1, Home: Address{Street: "x"}}
		if err := docs.Insert(t.Context(), &bare); err != nil {
			t.Error("nil slices and pointers:", err)
		}
	})

	for name, change := range map[string]bson.D{
		"AnUnknownField":           {{Key: "new", Value: 1}},
		"AWholeNumberAsScore":      {{Key: "score", Value: 1}},
		"NullInAPointer":           {{Key: "nick", Value: nil}},
		"ALong":                    {{Key: "level", Value: int64(3)}},
		"AnAbsentFieldNotRequired": {{Key: "maybe", Value: "absent"}},
		"AnAbsentOmitempty":        {{Key: "age", Value: "absent"}},
		"AnythingAtAll":            {{Key: "anything", Value: bson.A{1, "x"}}},
	} {
		t.Run("Accepts"+name, func(t *testing.T) {
			t.Parallel()
			if err := insert(t, append(change, bson.E{Key: "_id", Value: bson.NewObjectID()})); err != nil {
				t.Error(err)
			}
		})
	}

	for name, change := range map[string]bson.D{
		"AMissingField":        {{Key: "email", Value: "absent"}},
		"AMissingInlinedField": {{Key: "by", Value: "absent"}},
		"AnotherType":          {{Key: "email", Value: 12}},
		"NullWithoutPointer":   {{Key: "email", Value: nil}},
		"APattern":             {{Key: "email", Value: "nobody"}},
		"ALongString":          {{Key: "email", Value: "@" + strings.Repeat("x", 40)}},
		"AnEnum":               {{Key: "role", Value: "root"}},
		"ANumberOutOfAnEnum":   {{Key: "level", Value: 4}},
		"AMinimum":             {{Key: "age", Value: -1}},
		"AMaximum":             {{Key: "score", Value: 1.5}},
		"ADecimalMinimum":      {{Key: "balance", Value: decimal("-10.51")}},
		"ADurationMaximum":     {{Key: "wait", Value: int64(2 * time.Hour)}},
		"AnIDOfAnotherType":    {{Key: "_id", Value: "x"}},
		"ANestedField":         {{Key: "home", Value: bson.D{{Key: "street", Value: ""}}}},
		"ANestedFieldInAList":  {{Key: "others", Value: bson.A{bson.D{{Key: "street", Value: "x"}, {Key: "zip", Value: "1"}}}}},
		"TooManyItems":         {{Key: "others", Value: bson.A{bson.D{{Key: "street", Value: "x"}}, bson.D{{Key: "street", Value: "y"}}, bson.D{{Key: "street", Value: "z"}}}}},
		"AnItemOutOfAnEnum":    {{Key: "tags", Value: bson.A{"z"}}},
		"ARepeatedItem":        {{Key: "tags", Value: bson.A{"a", "a"}}},
		"AMapsValue":           {{Key: "ratings", Value: bson.D{{Key: "go", Value: 6}}}},
		"TooManyEntries":       {{Key: "labels", Value: bson.D{{Key: "a", Value: "x"}, {Key: "b", Value: "x"}}}},
		"ADateAsText":          {{Key: "born", Value: "1990-01-02"}},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			t.Parallel()
			const documentValidationFailure = 121
			err := insert(t, change)
			var refused mongo.WriteException
			if !errors.As(err, &refused) || !refused.HasErrorCode(documentValidationFailure) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func decimal(s string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestSchemaNamesEveryBadTag(t *testing.T) {
	t.Parallel()
	_, err := model.Collection[struct {
		A string    `min:"x"`
		B int       `pattern:"a"`
		C string    `pattern:"("`
		D time.Time `min:"2027-01-01"`
		E int8      `max:"300"`
		F bool      `enum:"a"`
		G string    `minItems:"1"`
		H chan int
		I string `bson:"a"`
		J string `required:"maybe"`
		K int    `unique:"true"`
		L uint   `min:"-1"`
		M any    `min:"1"`
		N string `enum:""`
		O bson.A `min:"1"`
	}]{Name: "bad"}.Schema()
	if err == nil {
		t.Fatal("no error")
	}
	for field := range strings.SplitSeq("A B C D E F G H I J K L M N O", " ") {
		if !strings.Contains(err.Error(), "field "+field+": ") {
			t.Errorf("field %s is not named", field)
		}
	}
	if _, err := (model.Collection[bson.M]{Name: "m"}).Schema(); err == nil {
		t.Error("a map has a schema")
	}
}

type Tree struct {
	Name string `bson:"name"`
	Kids []Tree `bson:"kids,omitempty"`
}

func TestRecursiveTypesEnd(t *testing.T) {
	t.Parallel()
	docs := model.Collection[Tree]{Name: "trees"}.In(mongotest.DB(t))
	if _, err := docs.EnsureValidator(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := docs.Insert(t.Context(), &Tree{Name: "a", Kids: []Tree{{Name: "b", Kids: []Tree{{Name: "c"}}}}}); err != nil {
		t.Error(err)
	}
}

func TestEnsureValidator(t *testing.T) {
	t.Parallel()
	db := mongotest.DB(t)
	type v1 struct {
		Name string `bson:"name"`
		Size int    `bson:"size" max:"10"`
	}
	type v2 struct {
		Name string `bson:"name" minLength:"2"`
		Size int    `bson:"size" max:"20"`
	}
	old, now := model.Collection[v1]{Name: "things"}.In(db), model.Collection[v2]{Name: "things"}.In(db)

	diff, err := old.DiffValidator(t.Context())
	if err != nil || len(diff) == 0 || diff[0].Kind != model.Missing || diff[0].Applied {
		t.Fatalf("without a collection: %v, %v", diff, err)
	}
	if done, err := old.EnsureValidator(t.Context()); err != nil || len(done) != len(diff) || !done[0].Applied {
		t.Fatalf("first: %v, %v", done, err)
	}
	if done, err := old.EnsureValidator(t.Context()); err != nil || len(done) != 0 {
		t.Fatalf("a second time: %v, %v", done, err)
	}
	if err := old.Insert(t.Context(), &v1{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	changes, err := now.DiffValidator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	want := []string{"+ $jsonSchema.properties.name.minLength: 2", "~ $jsonSchema.properties.size.maximum: 10 → 20"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n, err := now.CountInvalid(t.Context(), 10); err != nil || n != 1 {
		t.Errorf("CountInvalid = %d, %v", n, err)
	}
	if _, err := now.EnsureValidator(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := now.Insert(t.Context(), &v2{Name: "ok", Size: 15}); err != nil {
		t.Error("the new rules do not hold:", err)
	}
	if changes, err := now.DiffValidator(t.Context()); err != nil || len(changes) != 0 {
		t.Errorf("after: %v, %v", changes, err)
	}

	warned := model.Collection[v2]{Name: "things", Level: model.Moderate, Action: model.Warn}.In(db)
	if changes, err := warned.EnsureValidator(t.Context()); err != nil || len(changes) != 2 {
		t.Errorf("level and action: %v, %v", changes, err)
	}
	if err := warned.Insert(t.Context(), &v2{Name: "x", Size: 99}); err != nil {
		t.Error("a warning refused the document:", err)
	}
}
