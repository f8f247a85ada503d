package backfill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// jsonRows reads lines of extended JSON.
type jsonRows struct {
	closer io.Closer
	from   *bufio.Reader
	buf    []byte // of a line that doesn't fit into the reader's
	line   int64
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
	}
	return j, nil
}

// usualLine is how long lines are for which there is always room.
const usualLine = 64 << 10

// read returns the next line, which is valid until the next call, or that it is too long. The last one may have no end.
func (j *jsonRows) read() (text []byte, tooLong bool, err error) {
	if cap(j.buf) > usualRow {
		j.buf = nil
	}
	j.buf = j.buf[:0]
	for {
		part, err := j.from.ReadSlice('\n')
		more := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err != nil && !more && !errors.Is(err, io.EOF):
			return nil, false, fmt.Errorf("line %d: %w", j.line+1, err)
		case len(j.buf)+len(part) > maxLine:
			tooLong, text, j.buf = true, nil, nil
		case tooLong: // the rest of it
		case !more && len(j.buf) == 0:
			text = part
		default:
			j.buf = append(j.buf, part...)
			text = j.buf
		}
		if more {
			continue
		}
		if err != nil && len(text) == 0 && !tooLong {
			return nil, false, io.EOF
		}
		j.line++
		return text, tooLong, nil
	}
}

func (j *jsonRows) next(context.Context) (row, error) {
	for {
		text, tooLong, err := j.read()
		if err != nil {
			return row{}, err
		}
		if j.line == 1 {
			text = bytes.TrimPrefix(text, []byte(byteOrderMark))
		}
		text = bytes.TrimSpace(text)
		out := row{key: lineKey(j.line)}
		switch {
		case tooLong:
			out.err = fmt.Errorf("line %d: longer than %d MiB; put each document on a line of its own", j.line, maxLine>>20)
		case len(text) == 0:
			continue
		case !utf8.Valid(text):
			out.err = fmt.Errorf("line %d is not valid UTF-8", j.line)
		default:
			if out.doc, err = lineDocument(text); err != nil {
				out.err = fmt.Errorf("line %d: %w", j.line, err)
			}
		}
		return out, nil
	}
}

// lineDocument is the only one of a line.
func lineDocument(text []byte) (bson.Raw, error) {
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON(text, false, &doc); err != nil {
		return nil, err
	}
	if len(doc) == 0 {
		return nil, errors.New("it is no document")
	}
	if json.Valid(text) {
		return doc, nil
	}
	// Behind the document the decoder doesn't look.
	var rest json.RawMessage
	return nil, fmt.Errorf("it is not one document: %w", json.Unmarshal(text, &rest))
}

func (j *jsonRows) Close() error { return closeIf(j.closer) }
