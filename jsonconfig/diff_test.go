package jsonconfig

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	fromJSON := func(text string) bson.RawValue {
		t.Helper()
		return must(FromJSON([]byte(text)))(t)
	}
	for name, tc := range map[string]struct {
		from, to Config
		want     []string
	}{
		"Same": {
			Config{Slug: "a", Value: fromJSON(`{"a":1,"b":{"c":[1]}}`), Version: 1, Why: "x"},
			Config{Slug: "a", Value: fromJSON(`{"b":{"c":[1]},"a":1}`), Version: 2, Why: "y"},
			nil,
		},
		"Fields": {
			Config{Value: fromJSON(`{"kept":0,"changed":{"x":1},"removed":"$x","list":[1,{"a":1},3]}`)},
			Config{Value: fromJSON(`{"kept":0,"changed":{"x":2},"list":[1,{"a":null}],"a.b":[],"a b":{}}`)},
			[]string{
				`~ value.changed.x: 1 → 2`,
				`- value.removed: "$x"`,
				`~ value.list[1].a: 1 → null`,
				`- value.list[2]: 3`,
				`+ value["a.b"]: []`,
				`+ value["a b"]: {}`,
			},
		},
		"Metadata": {
			Config{Slug: "a", Name: "x", Aliases: []string{"p"}, Value: 1},
			Config{Slug: "a", Description: "d", Aliases: []string{"p", "q"}, Value: 1},
			[]string{`+ aliases[1]: "q"`, `- name: "x"`, `+ description: "d"`},
		},
		"TypesOfNumbers": {
			Config{Value: int32(5)},
			Config{Value: int64(5)},
			[]string{`~ value: {"$numberInt":"5"} → {"$numberLong":"5"}`},
		},
		"OtherKind": {
			Config{Value: fromJSON(`{"a":1}`)},
			Config{Value: fromJSON(`[1]`)},
			[]string{`~ value: {"a":1} → [1]`},
		},
		"Deleted": {
			Config{Value: 1, Deleted: false},
			Config{Deleted: true},
			[]string{`- value: 1`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, change := range must(Diff(tc.from, tc.to))(t) {
				got = append(got, change.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error("(-want +got)", diff)
			}
		})
	}
}
