package backfill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// maxLine bounds a line of NDJSON, and a row of CSV: a document of the server's limit in its longest form.
const maxLine = 64 << 20

// byteOrderMark is what spreadsheets begin a file with.
const byteOrderMark = "\xef\xbb\xbf"

// bounded ends with an error when a row takes too much: one with a quote that isn't closed would take the rest of the file.
type bounded struct {
	from io.Reader
	left int
}

var errLongRow = fmt.Errorf("a row of more than %d MiB: is there a quote that isn't closed?", maxLine>>20)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRow
	}
	n, err := b.from.Read(p)
	b.left -= n
	return n, err
}

// lineKey is a line number as a key.
func lineKey(n int64) bson.RawValue {
	kind, data, _ := bson.MarshalValue(n) // a number always encodes
	return bson.RawValue{Type: kind, Value: data}
}

// csvRows reads a file with a header. Rows are numbered by the line that they begin on.
type csvRows struct {
	closer io.Closer
	csv    *csv.Reader
	limit  *bounded
	header []string
	last   int // the line of the row before
}

func newCSV(r io.Reader, skip int64) (rows, error) {
	limit := &bounded{from: r, left: maxLine}
	c := &csvRows{csv: csv.NewReader(bufio.NewReaderSize(limit, 1<<20)), limit: limit}
	c.closer, _ = r.(io.Closer)
	c.csv.ReuseRecord = false
	header, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: a header with the names of the columns must come first")
	}
	if err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	c.header = append([]string(nil), header...)
	seen := make(map[string]bool)
	for i, name := range c.header {
		if i == 0 {
			name = strings.TrimPrefix(name, byteOrderMark)
			c.header[0] = name
		}
		if name == "" || seen[name] || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return nil, fmt.Errorf("the header: column %d is called %q; every column needs a name of its own", i+1, name)
		}
		seen[name] = true
	}
	c.csv.FieldsPerRecord = len(c.header)
	for skip > 0 {
		got, err := c.next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if line, _ := got.key.AsInt64OK(); line >= skip {
			break
		}
	}
	return c, nil
}

func (c *csvRows) next(context.Context) (row, error) {
	c.limit.left = maxLine
	record, err := c.csv.Read()
	var bad *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return row{}, io.EOF
	case errors.As(err, &bad):
		// A quote that is not closed takes the rest of the file; everything else is one row.
		return row{key: lineKey(int64(bad.StartLine)), err: fmt.Errorf("line %d: %w", bad.Line, bad.Err)}, nil
	case err != nil:
		return row{}, fmt.Errorf("the row behind the one of line %d: %w", c.last, err)
	}
	line, _ := c.csv.FieldPos(0)
	c.last = line
	out := row{key: lineKey(int64(line))}
	doc := beginDoc()
	for i, value := range record {
		if !utf8.ValidString(value) {
			out.err = fmt.Errorf("line %d: column %s is not valid UTF-8", line, c.header[i])
			return out, nil
		}
		v := stringValue(value)
		if id, err := bson.ObjectIDFromHex(value); err == nil && c.header[i] == "_id" {
			v = bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}
		}
		doc = rawbson.Append(doc, c.header[i], v)
	}
	out.doc = endDoc(doc)
	return out, nil
}

func (c *csvRows) Close() error { return closeIf(c.closer) }

// jsonRows reads lines of extended JSON.
type jsonRows struct {
	closer io.Closer
	lines  *bufio.Scanner
	line   int64
}

func newNDJSON(r io.Reader, skip int64) (rows, error) {
	j := &jsonRows{lines: bufio.NewScanner(r)}
	j.closer, _ = r.(io.Closer)
	j.lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	for j.line < skip && j.lines.Scan() {
		j.line++
	}
	return j, j.lines.Err()
}

func (j *jsonRows) next(context.Context) (row, error) {
	for j.lines.Scan() {
		j.line++
		text := j.lines.Bytes()
		if j.line == 1 {
			text = bytes.TrimPrefix(text, []byte(byteOrderMark))
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		out := row{key: lineKey(j.line)}
		if !utf8.Valid(text) {
			out.err = fmt.Errorf("line %d is not valid UTF-8", j.line)
			return out, nil
		}
		var doc bson.D
		if err := bson.UnmarshalExtJSON(text, false, &doc); err != nil {
			out.err = fmt.Errorf("line %d: %w", j.line, err)
			return out, nil
		}
		data, err := bson.Marshal(doc)
		out.doc, out.err = data, err
		return out, nil
	}
	if err := j.lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than %d MiB; put each document on a line of its own", maxLine>>20)
		}
		return row{}, fmt.Errorf("line %d: %w", j.line+1, err)
	}
	return row{}, io.EOF
}

func (j *jsonRows) Close() error { return closeIf(j.closer) }

func closeIf(c io.Closer) error {
	if c == nil {
		return nil
	}
	return c.Close()
}
