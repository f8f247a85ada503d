package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rikki-go/rikki/backfill"
)

// Hundreds of kinds of failures, with messages and keys of kilobytes, are a table that can be read.
func TestManyFailuresAreReadable(t *testing.T) {
	t.Parallel()
	var groups []backfill.FailureGroup
	long := json.RawMessage(`"` + strings.Repeat("k", 8<<10) + `"`)
	for i := range 201 {
		groups = append(groups, backfill.FailureGroup{
			Class: "error", Message: fmt.Sprintf("%d %s", i, strings.Repeat("and more ", 500)), Count: 10, Sample: []json.RawMessage{long, json.RawMessage("1")},
		})
	}
	groups[1].Sample = nil
	table, left := failuresTable(groups, false)
	if len(table.Rows) != shownGroups || left != "1,810 failures of 181 more kinds are not shown: --json has all kinds, --export all failures." {
		t.Errorf("%d rows, %q", len(table.Rows), left)
	}
	for _, row := range table.Rows {
		if n := len(strings.Join(row, " ")); n > 400 {
			t.Errorf("a row of %d bytes: %q", n, row)
		}
	}
	if ids := table.Rows[0][3]; !strings.HasSuffix(ids, "…, 1, …") || table.Rows[1][3] != "…" {
		t.Errorf("keys %q and %q", ids, table.Rows[1][3])
	}
	if table, left := failuresTable(groups, true); len(table.Rows) != 201 || left != "" {
		t.Errorf("for programs: %d rows, %q", len(table.Rows), left)
	}
	if table, left := failuresTable(groups[:1], false); len(table.Rows) != 1 || left != "" {
		t.Errorf("one kind: %d rows, %q", len(table.Rows), left)
	}
}
