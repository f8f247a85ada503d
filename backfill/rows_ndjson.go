package backfill

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/extjson"
)

// jsonRows reads lines of extended JSON.
type jsonRows struct {
	closer io.Closer
	from   *bufio.Reader
	buf    []byte // of a line that doesn't fit into the reader's
	line   int64

	afterCR bool // the line before ended with CR: an LF may belong to it
	begun   bool // something was read
}

func newNDJSON(r io.Reader, skip int64) (rows, error) {
	j := &jsonRows{from: bufio.NewReaderSize(r, usualLine)}
	j.closer, _ = r.(io.Closer)
	for j.line < skip {
		if _, _, err := j.read(); errors.Is(err, io.EOF) {
			return j, nil
		} else if err != nil {
			return nil, err
		}
		j.begun = true
	}
	return j, nil
}

// read returns the next line, which is valid until the next call, or that it is too long. Lines end with LF, CR LF or CR; the last one may
// have no end.
func (j *jsonRows) read() (text []byte, tooLong bool, err error) {
	if cap(j.buf) > usualRow {
		j.buf = nil
	}
	j.buf = j.buf[:0]
	for begun := false; ; begun = true {
		part, ended, err := j.part()
		last := errors.Is(err, io.EOF)
		switch {
		case last && !begun:
			return nil, false, io.EOF
		case err != nil && !last:
			return nil, false, fmt.Errorf("line %d: %w", j.line+1, err)
		case len(j.buf)+len(part) > maxLine:
			tooLong, text, j.buf = true, nil, nil
		case tooLong: // the rest of it
		case ended && len(j.buf) == 0:
			text = part
		default:
			j.buf = append(j.buf, part...)
			text = j.buf
		}
		if ended || last {
			j.line++
			return text, tooLong, nil
		}
	}
}

// part is what there is of a line, and whether its end was there.
func (j *jsonRows) part() (part []byte, ended bool, err error) {
	if _, err := j.from.Peek(1); err != nil {
		return nil, false, err
	}
	part, _ = j.from.Peek(j.from.Buffered()) // they are there
	if j.afterCR && part[0] == '\n' {        // its line has ended already
		j.afterCR = false
		_, _ = j.from.Discard(1)
		return j.part()
	}
	end := bytes.IndexByte(part, '\n')
	if end < 0 {
		end = len(part)
	}
	if cr := bytes.IndexByte(part[:end], '\r'); cr >= 0 {
		end = cr
	}
	ended = end < len(part)
	j.afterCR = ended && part[end] == '\r'
	_, _ = j.from.Discard(min(end+1, len(part)))
	return part[:end], ended, nil
}

// text returns the next line with something on it.
func (j *jsonRows) text() (text []byte, tooLong bool, err error) {
	for {
		text, tooLong, err = j.read()
		if err != nil {
			return nil, false, err
		}
		if j.line == 1 {
			text = bytes.TrimPrefix(text, []byte(byteOrderMark))
		}
		if text = bytes.TrimSpace(text); tooLong || len(text) > 0 {
			break
		}
	}
	if first := !j.begun; first && len(text) > 0 && text[0] == '[' {
		return nil, false, errors.New("the file is a JSON array, and each document has to be on a line of its own: " +
			"mongoexport does so without --jsonArray, and jq by -c '.[]'")
	}
	j.begun = true
	return text, tooLong, nil
}

func (j *jsonRows) next(context.Context) (row, error) {
	text, tooLong, err := j.text()
	if err != nil {
		return row{}, err
	}
	out := row{key: lineKey(j.line)}
	switch {
	case tooLong:
		out.err = fmt.Errorf("line %d: longer than %d MiB; put each document on a line of its own", j.line, maxLine>>20)
	case !utf8.Valid(text):
		out.err = fmt.Errorf("line %d is not valid UTF-8", j.line)
	default:
		if out.doc, err = lineDocument(text); err != nil {
			out.err = fmt.Errorf("line %d: %w", j.line, err)
		}
	}
	return out, nil
}

// count reads the rest of the file, and returns how many rows there are.
func (j *jsonRows) count(ctx context.Context) (n int64, err error) {
	for ; ; n++ {
		_, _, err := j.text()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return n, err
		}
	}
}

// lineDocument is the only one of a line.
func lineDocument(text []byte) (bson.Raw, error) {
	doc, err := extjson.Document(text)
	if err != nil {
		return nil, fmt.Errorf("it is not one document: %w", err)
	}
	return doc, nil
}

func (j *jsonRows) Close() error { return closeIf(j.closer) }
