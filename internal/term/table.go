package term

import (
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/mattn/go-runewidth"
)

// Align says where a column's text sits.
type Align int

// Columns are aligned left unless they hold numbers.
const (
	Left Align = iota
	Right
)

// Column describes one column of a [Table].
type Column struct {
	Name  string
	Align Align
	// Flex marks a column that may be shortened with "…" when a terminal is too narrow.
	Flex bool
}

// Table is rows of data for people, with a header.
type Table struct {
	Columns []Column
	Rows    [][]string
	// Empty is what to say, as a note, when there are no rows.
	Empty string
}

// minFlex is the width below which a shortened column says nothing any more.
const minFlex = 8

// Table prints rows to stdout: aligned for people, tab-separated without header for --plain.
func (t *Term) Table(tbl Table) error {
	if len(tbl.Rows) == 0 {
		if tbl.Empty != "" {
			t.Note("%s", tbl.Empty)
		}
		return nil
	}
	rows := make([][]string, len(tbl.Rows))
	for i, r := range tbl.Rows {
		rows[i] = make([]string, len(tbl.Columns))
		for j := range rows[i] {
			if j < len(r) {
				rows[i][j] = t.data(r[j])
			}
		}
	}
	if t.opts.Plain {
		return t.tsv(rows)
	}
	fit(tbl.Columns, rows, t.Width())
	_, err := io.WriteString(t.Out(), t.render(tbl.Columns, rows))
	return err
}

func (t *Term) tsv(rows [][]string) error {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(strings.Join(r, "\t"))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.Out(), b.String())
	return err
}

func (t *Term) render(cols []Column, rows [][]string) string {
	w := table.NewWriter()
	st := table.StyleDefault
	st.Options = table.OptionsNoBordersAndSeparators
	st.Box.PaddingLeft, st.Box.PaddingRight = "", "  "
	st.Format.Header = text.FormatUpper
	w.SetStyle(st)
	w.SuppressTrailingSpaces()
	head := make(table.Row, len(cols))
	configs := make([]table.ColumnConfig, len(cols))
	for i, c := range cols {
		head[i] = c.Name
		configs[i] = table.ColumnConfig{Number: i + 1}
		if c.Align == Right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	w.AppendHeader(head)
	w.SetColumnConfigs(configs)
	for _, r := range rows {
		row := make(table.Row, len(r))
		for i, cell := range r {
			row[i] = cell
		}
		w.AppendRow(row)
	}
	header, body, _ := strings.Cut(w.Render(), "\n")
	return paint(t.outColor, bold, header) + "\n" + body + "\n"
}

// fit shortens flexible columns, widest first, until a row fits the width; 0 means no limit.
func fit(cols []Column, rows [][]string, width int) {
	if width == 0 {
		return
	}
	widths := make([]int, len(cols))
	total := 0
	for j, c := range cols {
		widths[j] = runewidth.StringWidth(c.Name)
		for _, r := range rows {
			widths[j] = max(widths[j], runewidth.StringWidth(r[j]))
		}
		total += widths[j] + 2
	}
	for total-2 > width {
		widest := -1
		for j, c := range cols {
			if c.Flex && widths[j] > minFlex && (widest < 0 || widths[j] > widths[widest]) {
				widest = j
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
		total--
	}
	for _, r := range rows {
		for j, c := range cols {
			if c.Flex {
				r[j] = runewidth.Truncate(r[j], widths[j], "…")
			}
		}
	}
}

// Shorten cuts a text to a width, with a mark that it was longer.
func Shorten(text string, width int) string { return runewidth.Truncate(text, width, "…") }
