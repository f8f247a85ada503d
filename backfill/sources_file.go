package backfill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
)

// fileSource is a file of rows.
type fileSource struct {
	path   string
	format string
	decode func(r io.Reader, skip int64) (rows, error)
	// fits refuses a file by what it begins with: its header, or its first document. Nil asks the type of the function.
	fits func(header []string, first bson.Raw) error
	rows *rowsOf // what the command line says about them, or nil
}

func (s *fileSource) kind() string { return s.format }

func (s *fileSource) reader(e *engine) (reader, error) {
	r := &rowReader{e: e, size: s.count}
	r.open = func(_ context.Context, after bson.RawValue) (rows, error) {
		skip, _ := after.AsInt64OK()
		if s.path != Stdin {
			return s.openFile(skip)
		}
		if skip > 0 || e.run.Attempt() > 1 {
			return nil, errors.New("the rows came from standard input, which is gone: put them into a file, and run it with that")
		}
		return s.named(s.decode(io.NopCloser(os.Stdin), 0))
	}
	return &fileReader{rowReader: r, source: s}, nil
}

// openFile refuses what can't be read twice: it is counted before the plan is made, and read again by a run that goes on.
func (s *fileSource) openFile(skip int64) (rows, error) {
	info, err := os.Stat(s.path) // before it is opened, which for a pipe would wait for a writer
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no ordinary file, and can't be read twice: give the rows by standard input, with - as the name, or put them into a file", s.path)
	}
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	decoded, err := s.named(s.decode(file, skip))
	if err != nil {
		_ = file.Close() // it was only read
	}
	return decoded, err
}

// named says which file an error is about.
func (s *fileSource) named(decoded rows, err error) (rows, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name(), err)
	}
	return decoded, nil
}

func (s *fileSource) name() string {
	if s.path == Stdin {
		return "standard input"
	}
	return s.path
}

// count is how many rows there are. A file that can't be read to its end is refused by that, before anything is written.
func (s *fileSource) count(ctx context.Context) (int64, error) {
	if s.path == Stdin {
		return 0, nil
	}
	decoded, err := s.openFile(0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = decoded.Close() }() // it was only read
	counter, ok := decoded.(interface {
		count(ctx context.Context) (int64, error)
	})
	if !ok {
		return 0, nil
	}
	n, err := counter.count(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.path, err)
	}
	return n, nil
}

// fileReader refuses to go on with a file that has changed.
type fileReader struct {
	*rowReader
	source *fileSource
}

// check also looks whether the file begins with what the work takes.
func (r *fileReader) check(ctx context.Context) error {
	if err := r.rowReader.check(ctx); err != nil {
		return err
	}
	if r.e.run.Attempt() > 1 && r.source.path == Stdin {
		return nil // it is gone, as will be said where it is read
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.seek(ctx, bson.RawValue{}); err != nil {
		return err
	}
	if len(r.held) == 0 {
		if _, err := r.hold(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.source.name(), err)
		}
	}
	var header []string
	if c, ok := r.current.(*csvRows); ok {
		header = c.header
	}
	var first bson.Raw
	if len(r.held) > 0 {
		first = r.held[0].doc
	}
	fits := r.source.fits
	if w, ok := r.e.work.(*functionWork); ok && fits == nil && header != nil {
		fits = func(header []string, _ bson.Raw) error { return fitsType(header, w.sees) }
	}
	if fits == nil {
		return nil
	}
	if err := fits(header, first); err != nil {
		return fmt.Errorf("%s: %w", r.source.name(), err)
	}
	return nil
}

type fileFacts struct {
	SHA256 string `bson:"sha256"`
	Size   int64  `bson:"size"`
}

// facts identify the file.
func (r *fileReader) facts() (bson.Raw, error) {
	if r.source.path == Stdin {
		return nil, nil
	}
	file, err := os.Open(r.source.path)
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
		return fmt.Errorf("%w by itself: %w: %s has other content than when the run began; put the old file back, or begin a new run", rikki.ErrPaused, rikki.ErrSourceChanged, r.source.path)
	}
	return fmt.Errorf("%w by itself: %w: %s had %d bytes when the run began and has %d now; put the old file back, or begin a new run", rikki.ErrPaused, rikki.ErrSourceChanged, r.source.path, was.Size, is.Size)
}
