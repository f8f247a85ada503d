package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/rikki-go/rikki/internal/plain"
)

// Result prints the JSON twin of a command's answer: one indented object on stdout. Control characters that
// encoding/json leaves alone are escaped, so that the output is safe on a terminal and still the same value. The
// caller redacts its own values: rewriting encoded JSON could not keep it valid.
func (t *Term) Result(v any) error {
	return t.encode(v, "  ")
}

// Event prints one line of NDJSON on stdout.
func (t *Term) Event(v any) error {
	return t.encode(v, "")
}

func (t *Term) encode(v any, indent string) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer as JSON: %w", err)
	}
	_, err := t.Out().Write(escapeJSON(buf.Bytes()))
	return err
}

// escapeJSON replaces what is unsafe on a terminal by \u escapes. In valid JSON such characters occur inside strings
// only, so the value stays the same.
func escapeJSON(b []byte) []byte {
	if bytes.IndexFunc(b, jsonUnsafe) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+32)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if jsonUnsafe(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, b[:size]...)
		}
		b = b[size:]
	}
	return out
}

// jsonUnsafe leaves the white space between tokens alone.
func jsonUnsafe(r rune) bool { return r >= 0x7f && plain.Unsafe(r) }

// jsonSafe is a writer that does the same for a log handler.
type jsonSafe struct{ w io.Writer }

func (j jsonSafe) Write(p []byte) (int, error) {
	if _, err := j.w.Write(escapeJSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
