package term

import (
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Field is one line of a key-value block.
type Field struct {
	Key   string
	Value string
}

// Fields prints a block of keys and values to stdout. Fields without a value are left out; further lines of a value
// are indented below it.
func (t *Term) Fields(fields ...Field) error {
	var b strings.Builder
	if t.opts.Plain {
		for _, f := range fields {
			b.WriteString(t.data(f.Key) + "\t" + t.data(f.Value) + "\n")
		}
		_, err := io.WriteString(t.Out(), b.String())
		return err
	}
	width := 0
	for _, f := range fields {
		if f.Value != "" {
			width = max(width, runewidth.StringWidth(t.data(f.Key)))
		}
	}
	pad := "\n" + strings.Repeat(" ", width+2)
	for _, f := range fields {
		if f.Value == "" {
			continue
		}
		key := t.data(f.Key)
		value := strings.ReplaceAll(Block(t.redact(strings.TrimRight(f.Value, "\n"))), "\n", pad)
		b.WriteString(paint(t.outColor, cyan, key) + strings.Repeat(" ", width-runewidth.StringWidth(key)+2) + value + "\n")
	}
	_, err := io.WriteString(t.Out(), b.String())
	return err
}
