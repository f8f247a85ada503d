package backfill

import (
	"bufio"
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

// csvRows reads a file with a header. Rows are numbered by the line that they begin on.
type csvRows struct {
	closer io.Closer
	csv    *csv.Reader
	from   *bufio.Reader // of all readers of CSV, one after another
	limit  *bounded
	header []string
	before int // lines that earlier readers have read
	last   int // the line of the row before
}

func newCSV(r io.Reader, skip int64) (rows, error) {
	limit := &bounded{from: r, left: maxRow}
	c := &csvRows{from: bufio.NewReaderSize(limit, usualRow), limit: limit}
	c.closer, _ = r.(io.Closer)
	c.csv = csv.NewReader(c.from)
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
	c.limit.left = maxRow
	began := c.csv.InputOffset()
	record, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return row{}, io.EOF
	}
	bad, isBad := errors.AsType[*csv.ParseError](err)
	if err != nil && !isBad {
		return row{}, fmt.Errorf("the row behind the one of line %d: %w", c.last, err)
	}
	var out row
	if isBad {
		// A quote that is not closed takes the rest of the file; everything else is one row.
		out = row{key: lineKey(int64(c.before + bad.StartLine)), err: fmt.Errorf("line %d: %w", c.before+bad.Line, bad.Err)}
	} else {
		line, _ := c.csv.FieldPos(0)
		c.last = c.before + line
		out = c.document(record)
	}
	if c.csv.InputOffset()-began > usualRow {
		c.renew(record, bad)
	}
	return out, nil
}

func (c *csvRows) document(record []string) row {
	out := row{key: lineKey(int64(c.last))}
	doc := beginDoc()
	for i, value := range record {
		if !utf8.ValidString(value) {
			out.err = fmt.Errorf("line %d: column %s is not valid UTF-8", c.last, c.header[i])
			return out
		}
		v := stringValue(value)
		if id, err := bson.ObjectIDFromHex(value); err == nil && c.header[i] == "_id" {
			v = bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}
		}
		doc = rawbson.Append(doc, c.header[i], v)
	}
	out.doc = endDoc(doc)
	return out
}

// renew goes on with another reader of CSV behind a long row: a reader keeps as much memory as its longest one took.
func (c *csvRows) renew(record []string, bad *csv.ParseError) {
	if bad != nil && !errors.Is(bad, csv.ErrFieldCount) {
		c.before += bad.Line
	} else {
		last := len(record) - 1
		line, _ := c.csv.FieldPos(last)
		c.before += line + strings.Count(record[last], "\n")
	}
	c.csv = csv.NewReader(c.from)
	c.csv.FieldsPerRecord = len(c.header)
}

func (c *csvRows) Close() error { return closeIf(c.closer) }
