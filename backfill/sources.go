package backfill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/store"
)

// Source gives a backfill other items than the documents of its collection. Its
// items are walked in their order by one worker, chunk by chunk, and a run that
// goes on begins behind the last one that was done. A change is one of the
// document with the item's _id, or the one that [Change.For] names.
type Source interface {
	reader(e *engine) (reader, error)
	kind() string // of items, for the plan
}

// Stdin is the name that [CSV] and [NDJSON] read standard input by. What was read
// from there is gone, so such a run can't go on after it was stopped.
const Stdin = "-"

// CSV reads the rows of a file with a header. A row is a document of strings by
// the names in the header; an _id of 24 hexadecimal digits is an ObjectID. A row
// that can't be read fails as a document does, with its line as the key.
func CSV(path string) Source {
	return &fileSource{path: path, format: "csv", decode: newCSV, heading: 1}
}

// NDJSON reads a file with one document of extended JSON on each line.
func NDJSON(path string) Source { return &fileSource{path: path, format: "ndjson", decode: newNDJSON} }

// Item is one of [Items].
type Item struct {
	// Key says where a later attempt goes on: behind the last key that was done.
	Key any
	// Value is what the function gets; it must encode to a document.
	Value any
}

// Items reads from a function that lists the items behind a key, or all of them
// for a zero key. It must list the same items in the same order each time.
func Items(list func(ctx context.Context, after bson.RawValue) iter.Seq2[Item, error]) Source {
	return itemSource{list}
}

// row is an item of a source, or why it can't be read.
type row struct {
	doc bson.Raw
	key bson.RawValue // for failures, and where the cursor is behind it
	err error
}

// rows lists the rows behind a place.
type rows interface {
	// next returns [io.EOF] behind the last row. The error of a row alone is in the row.
	next(ctx context.Context) (row, error)
	io.Closer
}

// rowReader reads chunks of rows. A chunk that is tried again gets the same rows.
type rowReader struct {
	e    *engine
	open func(ctx context.Context, after bson.RawValue) (rows, error)
	size func() (int64, error)

	mu      sync.Mutex
	current rows
	at      bson.RawValue // behind which current goes on
	held    []row         // of the last chunk, which may be asked for again
	from    bson.RawValue // behind which held begins
}

func (r *rowReader) check(ctx context.Context) error {
	_, err := r.e.writable(ctx) // a collection that there isn't is made by the first document
	return err
}

func (r *rowReader) plan(context.Context) ([]store.Partition, int64, error) {
	total, err := r.size()
	return []store.Partition{{N: 0}}, total, err
}

func (r *rowReader) read(ctx context.Context, p store.Partition, n, bytes int) (batch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.seek(ctx, p.Cursor); err != nil {
		return batch{}, err
	}
	b := batch{}
	for i := 0; i < n && bytes > 0; i++ {
		if i == len(r.held) {
			next, err := r.current.next(ctx)
			if errors.Is(err, io.EOF) {
				b.end = true
				break
			}
			if err != nil {
				return batch{}, err
			}
			next.err = failed(next.err)
			r.held = append(r.held, next)
			r.at = next.key
		}
		b.add(r.held[i])
		bytes -= len(r.held[i].doc)
	}
	return b, nil
}

// seek makes held begin behind a cursor.
func (r *rowReader) seek(ctx context.Context, cursor bson.RawValue) error {
	if r.current != nil && same(r.from, cursor) {
		return nil
	}
	for i, held := range r.held {
		if same(held.key, cursor) {
			r.held, r.from = r.held[i+1:], cursor
			return nil
		}
	}
	if err := r.Close(); err != nil {
		return err
	}
	current, err := r.open(ctx, cursor)
	if err != nil {
		return err
	}
	r.current, r.held, r.from, r.at = current, nil, cursor, cursor
	return nil
}

func same(a, b bson.RawValue) bool { return a.IsZero() && b.IsZero() || a.Equal(b) }

// Close ends the reading.
func (r *rowReader) Close() error {
	if r.current == nil {
		return nil
	}
	current := r.current
	r.current = nil
	return current.Close()
}

func (b *batch) add(r row) {
	b.items = append(b.items, r.doc)
	b.keys = append(b.keys, r.key)
	b.last = r.key
	if r.err != nil {
		if b.bad == nil {
			b.bad = make(map[int]error)
		}
		b.bad[len(b.items)-1] = r.err
	}
}

// fileSource is a file of rows.
type fileSource struct {
	path   string
	format string
	decode func(r io.Reader, skip int64) (rows, error)
	// heading is how many lines are no rows.
	heading int64
}

func (s *fileSource) kind() string { return s.format }

func (s *fileSource) reader(e *engine) (reader, error) {
	r := &rowReader{e: e, size: s.lines}
	r.open = func(_ context.Context, after bson.RawValue) (rows, error) {
		skip, _ := after.AsInt64OK()
		if s.path == Stdin {
			if skip > 0 {
				return nil, errors.New("the rows came from standard input, which is gone: put them into a file, and run it with that")
			}
			return s.decode(io.NopCloser(os.Stdin), 0)
		}
		file, err := os.Open(s.path)
		if err != nil {
			return nil, err
		}
		return s.decode(file, skip)
	}
	return &fileReader{rowReader: r, path: s.path}, nil
}

// lines counts them, for the progress.
func (s *fileSource) lines() (int64, error) {
	if s.path == Stdin {
		return 0, nil
	}
	file, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it is only read
	n, last := -s.heading, byte('\n')
	buf := make([]byte, 1<<16)
	for {
		read, err := file.Read(buf)
		part := buf[:read]
		n += int64(bytes.Count(part, []byte{'\n'}))
		if len(part) > 0 {
			last = part[len(part)-1]
		}
		if errors.Is(err, io.EOF) {
			if last != '\n' {
				n++ // the last line has no end
			}
			return max(n, 0), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// fileReader refuses to go on with a file that has changed.
type fileReader struct {
	*rowReader
	path string
}

type fileFacts struct {
	SHA256 string `bson:"sha256"`
	Size   int64  `bson:"size"`
}

// facts identify the file.
func (r *fileReader) facts() (bson.Raw, error) {
	if r.path == Stdin {
		return nil, nil
	}
	file, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it is only read
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return nil, err
	}
	return bson.Marshal(fileFacts{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: size})
}

// differ says what is wrong with a file that isn't the one that a run began with.
func (r *fileReader) differ(then, now bson.Raw) error {
	var was, is fileFacts
	if bson.Unmarshal(then, &was) != nil || bson.Unmarshal(now, &is) != nil || was.Size == is.Size {
		return fmt.Errorf("%w by itself: %w: %s has other content than when the run began; put the old file back, or begin a new run", rikki.ErrPaused, rikki.ErrSourceChanged, r.path)
	}
	return fmt.Errorf("%w by itself: %w: %s had %d bytes when the run began and has %d now; put the old file back, or begin a new run", rikki.ErrPaused, rikki.ErrSourceChanged, r.path, was.Size, is.Size)
}

// itemSource is a function of the author's.
type itemSource struct {
	list func(ctx context.Context, after bson.RawValue) iter.Seq2[Item, error]
}

func (itemSource) kind() string { return "items" }

func (s itemSource) reader(e *engine) (reader, error) {
	return &rowReader{
		e:    e,
		size: func() (int64, error) { return 0, nil },
		open: func(ctx context.Context, after bson.RawValue) (rows, error) {
			next, stop := iter.Pull2(s.list(context.WithoutCancel(ctx), after))
			return &itemRows{pull: next, stop: stop, encoding: e.run.Encoding()}, nil
		},
	}, nil
}

type itemRows struct {
	pull func() (Item, error, bool)
	stop func()
	// encoding is the client's.
	encoding conn.Encoding
}

func (r *itemRows) next(context.Context) (row, error) {
	item, err, ok := r.pull()
	if !ok {
		return row{}, io.EOF
	}
	if err != nil {
		return row{}, fmt.Errorf("listing items: %w", err)
	}
	key, err := r.encoding.Value(item.Key)
	if err != nil {
		return row{}, fmt.Errorf("the key %v of an item: %w", item.Key, err)
	}
	out := row{key: key}
	out.doc, out.err = r.encoding.Marshal(item.Value)
	return out, nil
}

func (r *itemRows) Close() error {
	r.stop()
	return nil
}
