package term

import (
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

func runs() Table {
	return Table{
		Columns: []Column{{Name: "run"}, {Name: "script", Flex: true}, {Name: "state"}, {Name: "done", Align: Right}, {Name: "result", Flex: true}},
		Rows: [][]string{
			{"r_7Kq2", "backfill-tenant", "running", "421,337", ""},
			{"r_6Zp1", "rename-field", "succeeded", "999,997", `{"modified": 999997, "skipped": 3, "note": "all of them are fine"}`},
			{"r_5Aa9", "日本語のスクリプト", "failed", "0", "duplicate key"},
		},
		Empty: "No runs yet.",
	}
}

func TestTable(t *testing.T) {
	t.Parallel()

	show := func(t *testing.T, opts Options, tbl Table) (string, string) {
		t.Helper()
		b := setup(t, opts)
		if err := b.Table(tbl); err != nil {
			t.Fatal(err)
		}
		return b.out.String(), b.err.String()
	}

	t.Run("IsAlignedAndUnlimitedInAPipe", func(t *testing.T) {
		t.Parallel()
		out, _ := show(t, Options{}, runs())
		golden(t, "table.txt", out)
	})
	t.Run("FitsATerminal", func(t *testing.T) {
		t.Parallel()
		out, _ := show(t, Options{Terminal: &Terminal{Out: true, Width: 60}, Color: ColorNever}, runs())
		for line := range strings.Lines(out) {
			if w := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); w > 60 {
				t.Errorf("%d columns: %q", w, line)
			}
		}
		golden(t, "table60.txt", out)
	})
	t.Run("HeaderIsBoldOnATerminal", func(t *testing.T) {
		t.Parallel()
		out, _ := show(t, Options{Terminal: &Terminal{Out: true, Width: 200}}, runs())
		if !strings.HasPrefix(out, "\x1b[1mRUN ") {
			t.Errorf("got %q", out)
		}
	})
	t.Run("IsTabSeparatedWithoutHeaderWhenPlain", func(t *testing.T) {
		t.Parallel()
		tbl := runs()
		tbl.Rows[2][4] = "tab\there"
		out, _ := show(t, Options{Plain: true, Terminal: &Terminal{Out: true, Width: 20}}, tbl)
		golden(t, "table.tsv", out)
	})
	t.Run("SaysWhenThereIsNothing", func(t *testing.T) {
		t.Parallel()
		out, notes := show(t, Options{}, Table{Empty: "No runs yet."})
		if out != "" || notes != "No runs yet.\n" {
			t.Errorf("stdout %q, stderr %q", out, notes)
		}
	})
	t.Run("ShortRowsAreFilled", func(t *testing.T) {
		t.Parallel()
		out, _ := show(t, Options{Plain: true}, Table{Columns: make([]Column, 3), Rows: [][]string{{"a"}}})
		if out != "a\t\t\n" {
			t.Errorf("got %q", out)
		}
	})
}

func TestFields(t *testing.T) {
	t.Parallel()

	fields := []Field{{"run", "r_7Kq2"}, {"finished", ""}, {"error", "boom\nat line 2"}, {"server version", "6.0.5"}}
	t.Run("AreAligned", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		if err := b.Fields(fields...); err != nil {
			t.Fatal(err)
		}
		golden(t, "fields.txt", b.out.String())
	})
	t.Run("AreTabSeparatedWhenPlain", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{Plain: true})
		if err := b.Fields(fields...); err != nil {
			t.Fatal(err)
		}
		if got, want := b.out.String(), "run\tr_7Kq2\nfinished\t\nerror\tboom\\nat line 2\nserver version\t6.0.5\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
