package backfill_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rikki-go/rikki/backfill"
)

// The table of the documentation has every knob, in the order of the struct.
func TestKnobsAreDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/features/backfill.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "\n## Knobs\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, m[1])
	}
	word := regexp.MustCompile("([a-z])([A-Z])")
	for _, f := range reflect.VisibleFields(reflect.TypeFor[backfill.Knobs]()) {
		want = append(want, strings.ToLower(word.ReplaceAllString(f.Name, "$1-$2")))
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("the table in docs/features/backfill.md (-struct +table):\n%s", diff)
	}
}
