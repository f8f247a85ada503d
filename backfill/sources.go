package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

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

// CSV reads the rows of a file with a header, whose columns are separated by
// commas. A row is a document of strings by the names in the header; an _id of 24
// hexadecimal digits is an ObjectID. A row that can't be read fails as a document
// does, with its line as the key.
//
// A header without a column for each field of the type that the function gets is
// refused, before anything is written. Pointers, and fields with omitempty, may be
// missing.
func CSV(path string) Source { return Separated(path, ',') }

// Separated is [CSV] with another separator, an ASCII character such as ';' or
// '\t'.
func Separated(path string, by byte) Source {
	return &fileSource{path: path, format: formatCSV, decode: newCSV(by)}
}

// NDJSON reads a file with one document of extended JSON on each line.
func NDJSON(path string) Source {
	return &fileSource{path: path, format: formatNDJSON, decode: newNDJSON}
}

// Item is one of [Items].
type Item struct {
	// Key says where a later attempt goes on: behind the last key that was done.
	Key any
	// Value is what the function gets; it must encode to a document.
	Value any
}

// Items reads from a function that lists the items behind a key, or all of them
// for a zero key. It must list the same items in the same order each time, and no
// key twice. One that is the same as that before it ends the run, and so does a list
// that begins again.
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
	size func(ctx context.Context) (int64, error)

	mu      sync.Mutex
	current rows
	at      bson.RawValue // behind which current goes on
	held    []row         // of the last chunk, which may be asked for again
	from    bson.RawValue // behind which held begins
	planned int64         // rows; 0 is not known
	seen    int64         // rows that were read since the first one; -1 where it began in the middle
}

func (r *rowReader) check(ctx context.Context) error {
	_, err := r.e.writable(ctx) // a collection that there isn't is made by the first document
	return err
}

func (r *rowReader) plan(ctx context.Context) ([]store.Partition, int64, error) {
	total, err := r.size(ctx)
	r.planned = total
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
			more, err := r.hold(ctx)
			if err != nil {
				return batch{}, err
			}
			if b.end = !more; b.end {
				break
			}
		}
		b.add(r.held[i])
		bytes -= len(r.held[i].doc)
	}
	return b, nil
}

// hold reads one more row.
func (r *rowReader) hold(ctx context.Context) (more bool, err error) {
	next, err := r.current.next(ctx)
	switch {
	case errors.Is(err, io.EOF) && r.seen >= 0 && r.seen < r.planned:
		return false, fmt.Errorf("the source had %d rows when they were counted, and gave %d: it has to give the same each time it is read", r.planned, r.seen)
	case errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, err
	}
	if r.seen >= 0 {
		r.seen++
	}
	next.err = failed(next.err)
	r.held = append(r.held, next)
	r.at = next.key
	return true, nil
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
	r.current, r.held, r.from, r.at, r.seen = current, nil, cursor, cursor, 0
	if !cursor.IsZero() {
		r.seen = -1
	}
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

// itemSource is a function of the author's.
type itemSource struct {
	list func(ctx context.Context, after bson.RawValue) iter.Seq2[Item, error]
}

func (itemSource) kind() string { return "items" }

func (s itemSource) reader(e *engine) (reader, error) {
	return &rowReader{
		e:    e,
		size: func(context.Context) (int64, error) { return 0, nil },
		open: func(ctx context.Context, after bson.RawValue) (rows, error) {
			next, stop := iter.Pull2(caught(s.list(context.WithoutCancel(ctx), after)))
			return &itemRows{pull: next, stop: stop, encoding: e.run.Encoding(), seen: repetition{before: after}}, nil
		},
	}, nil
}

type itemRows struct {
	pull func() (Item, error, bool)
	stop func()
	seen repetition
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
	if err := r.seen.next(key); err != nil {
		return row{}, err
	}
	out := row{key: key}
	out.doc, out.err = call(func() (bson.Raw, error) { return r.encoding.Marshal(item.Value) })
	return out, nil
}

func (r *itemRows) Close() error {
	r.stop()
	return nil
}
