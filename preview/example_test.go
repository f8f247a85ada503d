package preview_test

import (
	"fmt"

	"github.com/rikki-go/rikki/preview"
)

// A report as a dry run returns it in its result.
func ExampleReport() {
	report := &preview.Report{
		Collections: []preview.Collection{{Name: "shop.users", Updated: 2}},
		Changes: []preview.Change{{
			Collection: "shop.users", Kind: "update", ID: []byte(`1`),
			Fields: []preview.Field{{Path: "email", Before: []byte(`"Ann@x"`), After: []byte(`"ann@x"`)}},
		}},
		More: true,
	}
	fmt.Println(report.Total(), "documents would change, such as:")
	for _, change := range report.Changes {
		for _, field := range change.Fields {
			fmt.Printf("%s %s: %s → %s\n", change.ID, field.Path, field.Before, field.After)
		}
	}
	// Output:
	// 2 documents would change, such as:
	// 1 email: "Ann@x" → "ann@x"
}
