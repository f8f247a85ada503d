package backfill

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// csvRows reads a file with a header. Rows are numbered by the line that they begin on. Lines end with LF, CR LF or CR; within quotes
// they are part of the value, as they are.
type csvRows struct {
	closer io.Closer
	from   *bufio.Reader
	by     byte // between two columns
	header []string

	line  int64  // that is read, from 1
	taken int    // bytes of the row
	blank bool   // nothing of it but its end
	text  []byte // of all fields of the row
	ends  []int  // of the fields in text
}

// newCSV returns a decoder of files with this separator.
func newCSV(by byte) func(r io.Reader, skip int64) (rows, error) {
	return func(r io.Reader, skip int64) (rows, error) {
		c := &csvRows{from: bufio.NewReaderSize(r, usualLine), by: by, line: 1}
		c.closer, _ = r.(io.Closer)
		if err := c.readHeader(); err != nil {
			return nil, err
		}
		for skip > 0 {
			at, _, err := c.record() // what is wrong with a row was told when it was read first
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			if at >= skip {
				break
			}
		}
		return c, nil
	}
}

// readMarks reads what spreadsheets put before the header.
func (c *csvRows) readMarks() error {
	const separator = "sep=;"
	begin, _ := c.from.Peek(len(byteOrderMark)) // a short file has less
	switch {
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")):
		return errors.New("the file is UTF-16: save it as UTF-8")
	case string(begin) == byteOrderMark:
		_, _ = c.from.Discard(len(byteOrderMark)) // it is there
	}
	line, _ := c.from.Peek(len(separator) + 1)
	if len(line) <= len(separator) || !bytes.HasPrefix(line, []byte("sep=")) || !endsLine(line) {
		return nil
	}
	c.by = line[len(separator)-1]
	_, _ = c.from.Discard(len("sep="))
	_, _, err := c.record()
	return err
}

// readHeader reads the names of the columns.
func (c *csvRows) readHeader() error {
	if err := c.readMarks(); err != nil {
		return err
	}
	_, bad, err := c.record()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty: a header with the names of the columns must come first")
	}
	if err = cmp.Or(err, bad); err != nil {
		return fmt.Errorf("the header: %w", err)
	}
	c.header = c.fields()
	seen := make(map[string]bool)
	for i, name := range c.header {
		if name == "" || seen[name] || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return fmt.Errorf("the header: column %d is called %q; every column needs a name of its own", i+1, name)
		}
		seen[name] = true
	}
	return nil
}

func (c *csvRows) next(context.Context) (row, error) {
	at, bad, err := c.record()
	if err != nil {
		return row{}, err
	}
	out := row{key: lineKey(at)}
	switch {
	case bad != nil:
		out.err = bad
	case len(c.ends) != len(c.header):
		out.err = fmt.Errorf("line %d: wrong number of fields: %d, and the header has %d", at, len(c.ends), len(c.header))
	default:
		out.doc, out.err = c.document(at)
	}
	return out, nil
}

func (c *csvRows) document(at int64) (bson.Raw, error) {
	doc, begin := beginDoc(), 0
	for i, end := range c.ends {
		value := c.text[begin:end]
		begin = end
		if !utf8.Valid(value) {
			return nil, fmt.Errorf("line %d: column %s is not valid UTF-8", at, c.header[i])
		}
		v := stringValue(string(value))
		if id, err := bson.ObjectIDFromHex(string(value)); err == nil && c.header[i] == "_id" {
			v = bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}
		}
		doc = rawbson.Append(doc, c.header[i], v)
	}
	return endDoc(doc), nil
}

func (c *csvRows) fields() []string {
	fields, begin := make([]string, len(c.ends)), 0
	for i, end := range c.ends {
		fields[i], begin = string(c.text[begin:end]), end
	}
	return fields
}

// count reads the rest of the file, and returns how many rows there are.
func (c *csvRows) count(ctx context.Context) (n int64, err error) {
	for ; ; n++ {
		_, _, err := c.record()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return n, err
		}
	}
}

// What can be wrong with the quotes of a row.
var (
	errBareQuote  = errors.New(`bare " in a field without quotes: put the field in quotes, and double the one in it`)
	errAfterQuote = errors.New(`something stands behind the closing ": a quote within a field is written twice`)
	errOpenQuote  = errors.New(`the quote isn't closed`)
)

// record reads the next row, and returns the line that it begins on. What is wrong with a row alone is bad. A wrong quote that has taken
// more than a line is an error: other rows are in it, and nobody knows which.
func (c *csvRows) record() (at int64, bad, err error) {
	if cap(c.text) > usualRow {
		c.text = nil
	}
	for {
		at, c.text, c.ends, c.taken, c.blank = c.line, c.text[:0], c.ends[:0], 0, true
		bad, err = c.row()
		end := errors.Is(err, io.EOF)
		switch {
		case err != nil && !end:
			return at, nil, fmt.Errorf("the row of line %d: %w", at, err)
		case c.blank && end:
			return at, nil, io.EOF
		case c.blank:
			continue
		case bad == nil:
			return at, nil, nil
		}
		last := c.line
		if !end || endsLine(c.text) {
			last-- // its end was counted
		}
		if last > at {
			return at, nil, fmt.Errorf("the row of line %d goes on to line %d, and a quote in it is wrong: %w", at, last, bad)
		}
		return at, fmt.Errorf("line %d: %w", at, bad), nil
	}
}

func endsLine(text []byte) bool {
	return len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r')
}

// row reads fields up to the end of the line, or of the file: then the error is [io.EOF].
func (c *csvRows) row() (bad, err error) {
	for more := true; more && err == nil; {
		var wrong error
		more, wrong, err = c.field()
		bad = cmp.Or(bad, wrong)
		c.ends = append(c.ends, len(c.text))
	}
	return bad, err
}

// field reads one, and tells whether another one follows in the row.
func (c *csvRows) field() (more bool, bad, err error) {
	b, err := c.byte()
	if err == nil && b == '"' {
		c.blank = false
		if err = c.quoted(); errors.Is(err, io.EOF) {
			bad = errOpenQuote
		}
		if err == nil {
			b, err = c.byte()
		}
		if err == nil && !c.endsField(b) {
			bad = errAfterQuote
		}
	}
	for ; err == nil && !c.endsField(b); b, err = c.byte() {
		c.blank = false
		if b == '"' {
			bad = cmp.Or(bad, errBareQuote)
		}
		c.text = append(c.text, b)
	}
	switch {
	case err != nil:
		return false, bad, err
	case b == c.by:
		c.blank = false
		return true, bad, nil
	case b == '\r' && c.follows('\n'):
		_, _ = c.byte() // it is there
	}
	c.line++
	return false, bad, nil
}

// endsField tells whether a byte ends a field without quotes.
func (c *csvRows) endsField(b byte) bool { return b == c.by || b == '\n' || b == '\r' }

// quoted reads up to the closing quote. A quote of the value is written twice.
func (c *csvRows) quoted() error {
	for {
		b, err := c.byte()
		switch {
		case err != nil:
			return err
		case b == '"' && !c.follows('"'):
			return nil
		case b == '"':
			_, _ = c.byte() // it is there
		case b == '\n', b == '\r' && !c.follows('\n'):
			c.line++
		}
		c.text = append(c.text, b)
	}
}

// byte returns the next one of the row.
func (c *csvRows) byte() (byte, error) {
	if c.taken++; c.taken > maxRow {
		return 0, errLongRow
	}
	return c.from.ReadByte()
}

func (c *csvRows) follows(b byte) bool {
	next, err := c.from.Peek(1)
	return err == nil && next[0] == b
}

func (c *csvRows) Close() error { return closeIf(c.closer) }
