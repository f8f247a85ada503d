package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/klauspost/compress/s2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

const (
	// maxPart is what a journal document holds, 16 MiB less room for the caller's fields.
	maxPart = 15 << 20
	// maxHeader is that room.
	maxHeader = 512 << 10
	// maxChunk is how many bytes the entries of one chunk may take before they are compressed.
	maxChunk = 256 << 20
	// maxKept is how much memory a writer keeps for the next chunk.
	maxKept = 1 << 20
	// formatVersion is the format that the package's documentation describes.
	formatVersion = 1
)

// Flags of an entry's tag, beside its operation.
const (
	opMask       = 0x07
	hasNamespace = 0x08
	wholeImages  = 0x10
	idOnly       = 0x20
)

// ErrTooLarge says that a chunk's entries don't fit into its journal. A smaller chunk helps.
var ErrTooLarge = errors.New("the changes of one chunk are too large for its journal")

// ErrNoID says that a document has no _id, by which undoing could find it again.
var ErrNoID = errors.New("document without _id")

// Writer packs the entries of one chunk. It is for one goroutine, and is used again for the next chunk after
// [Writer.Reset], so that it stops allocating.
type Writer struct {
	mode    Mode
	differ  differ
	buf     []byte // the entries
	packed  []byte
	entries int
	ops     int64
	touched map[string]*int // how often each path of the run's own collection changed, by its encoded form
	deleted int             // documents of it
	whole   *names          // of documents that paths can't express
}

// NewWriter returns a writer for a mode.
func NewWriter(mode Mode) *Writer {
	return &Writer{mode: mode, touched: map[string]*int{}, whole: &names{}}
}

// Add notes what happened to a document: before is nil for one that was inserted, after for one that was deleted. The
// namespace is "" for the run's own collection, otherwise database.collection. It is false if nothing changed, in which
// case nothing is noted. The documents may be reused when Add returns.
func (w *Writer) Add(namespace string, before, after bson.Raw) (bool, error) {
	return w.add(namespace, before, after, false)
}

// AddPart is like [Writer.Add] for parts of a document of the run's own collection: the _id and other fields, in their order. All
// that changed must be among them, and no field may have been removed: what it stood behind isn't known.
func (w *Writer) AddPart(before, after bson.Raw) error {
	_, err := w.add("", before, after, true)
	return err
}

// AddPending notes a document that is about to be changed, in a way that isn't known before: an [Entry] of it has
// [Entry.AfterUnknown]. before is nil for one that may be inserted.
func (w *Writer) AddPending(namespace string, id bson.RawValue, before bson.Raw) error {
	if w.mode == Off {
		return nil
	}
	op := Replace
	if before == nil {
		op = Insert
	}
	w.entries++
	mode := w.mode
	if w.mode == Full { // there is no image after
		w.mode = Changed
	}
	w.tag(op, namespace, rawbson.Element{Kind: id.Type, Value: id.Value})
	w.mode = mode
	if w.mode != IDs {
		w.buf = append(append(w.buf, before...), make([]byte, sha256.Size)...)
	}
	return nil
}

func (w *Writer) add(namespace string, before, after bson.Raw, part bool) (bool, error) {
	op, doc := Update, after
	switch {
	case before == nil && after == nil:
		return false, nil
	case before == nil:
		op = Insert
	case after == nil:
		op, doc = Delete, before
	case string(before) == string(after):
		return false, nil
	case !w.differ.diff(before, after):
		op = Replace
	}
	if part && op != Update {
		return false, fmt.Errorf("journal a part of a document: %s takes all of it", op)
	}
	id, ok := rawbson.Lookup(doc, "_id")
	if !ok {
		return false, fmt.Errorf("journal a document of %d bytes: %w", len(doc), ErrNoID)
	}
	if namespace == "" {
		w.touchAll(op, before, after)
	}
	if w.mode == Off {
		return true, nil
	}
	w.entries++
	w.tag(op, namespace, id)
	w.images(op, before, after)
	return true, nil
}

func (w *Writer) tag(op Op, namespace string, id rawbson.Element) {
	w.ops |= op.bit()
	tag := byte(op)
	if namespace != "" {
		tag |= hasNamespace
	}
	switch {
	case w.mode == IDs:
		tag |= idOnly
	case w.mode == Full && op != Delete:
		tag |= wholeImages
	}
	w.buf = append(w.buf, tag)
	if namespace != "" {
		w.buf = binary.AppendUvarint(w.buf, uint64(len(namespace)))
		w.buf = append(w.buf, namespace...)
	}
	w.buf = appendValue(w.buf, id)
}

func (w *Writer) images(op Op, before, after bson.Raw) {
	switch {
	case w.mode == IDs:
	case op == Delete:
		w.buf = append(w.buf, before...)
	case w.mode == Full:
		w.buf = append(append(w.buf, before...), after...)
	case op == Update:
		w.buf = binary.AppendUvarint(w.buf, uint64(len(w.differ.marks)))
		w.buf = append(w.buf, w.differ.out...)
	default:
		sum := sha256.Sum256(after)
		w.buf = append(append(w.buf, before...), sum[:]...)
	}
}

// Len is the number of entries.
func (w *Writer) Len() int { return w.entries }

// Ops are the operations of the entries, as bits; see [Op.In].
func (w *Writer) Ops() int64 { return w.ops }

// Size is the number of bytes that the entries take before they are compressed.
func (w *Writer) Size() int { return len(w.buf) }

// Reset forgets all entries and paths, and the memory that an unusually large chunk took.
func (w *Writer) Reset() {
	w.buf, w.packed, w.entries, w.ops = keep(w.buf), keep(w.packed), 0, 0
	w.differ.out = keep(w.differ.out)
	clear(w.touched)
	w.deleted = 0
}

func keep(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}

// Documents packs the entries into as many journal documents as they need, which is one unless they are very large, or
// none. header gives the fields that the document of a part begins with, such as its _id; they must not be called as the
// package's own, and take at most 512 KiB.
func (w *Writer) Documents(header func(part int) bson.D) ([]bson.Raw, error) {
	if w.entries == 0 {
		return nil, nil
	}
	if len(w.buf) > maxChunk {
		return nil, fmt.Errorf("%w: %d MiB of %d: use a smaller chunk", ErrTooLarge, len(w.buf)>>20, maxChunk>>20)
	}
	w.pack()
	docs := make([]bson.Raw, 0, 1)
	parts := (len(w.packed) + maxPart - 1) / maxPart
	for data := range slices.Chunk(w.packed, maxPart) {
		doc, err := w.document(header(len(docs)), len(docs), parts, data)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

func (w *Writer) pack() {
	if need := s2.MaxEncodedLen(len(w.buf)); cap(w.packed) < need {
		w.packed = make([]byte, need)
	}
	w.packed = s2.Encode(w.packed[:cap(w.packed)], w.buf)
}

func (w *Writer) document(header bson.D, part, parts int, data []byte) (bson.Raw, error) {
	for _, e := range header {
		if slices.Contains(ownFields(), e.Key) {
			return nil, fmt.Errorf("journal document: the field %s is the journal's own: rename the caller's", e.Key)
		}
	}
	begin, err := bson.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("journal document: %w", err)
	}
	if len(begin) > maxHeader {
		return nil, fmt.Errorf("journal document: header of %d bytes, at most %d fit beside the entries", len(begin), maxHeader)
	}
	doc := make([]byte, 0, len(begin)+len(data)+128)
	doc = append(doc, begin[:len(begin)-1]...)
	for i, n := range [...]int{formatVersion, part, parts, w.entries} {
		doc = appendInt32(doc, ownFields()[i], n)
	}
	doc = append(doc, byte(bson.TypeBinary))
	doc = append(doc, "data\x00"...)
	doc = binary.LittleEndian.AppendUint32(doc, uint32(len(data))) //nolint:gosec // at most maxPart
	doc = append(doc, bson.TypeBinaryGeneric)
	doc = append(doc, data...)
	return rawbson.Close(doc, 0), nil
}

// ownFields are the fields of a journal document that come behind the caller's.
func ownFields() []string { return []string{"format", "part", "parts", "entries", "data"} }

func appendInt32(dst []byte, name string, n int) []byte {
	dst = append(dst, byte(bson.TypeInt32))
	dst = append(dst, name...)
	return binary.LittleEndian.AppendUint32(append(dst, 0), uint32(n)) //nolint:gosec // small counts
}

// Deleted is how many documents of the run's own collection were deleted since the last reset.
func (w *Writer) Deleted() int { return w.deleted }

// Touched lists the paths that were changed in the run's own collection since the last reset, and in how many documents, in order. Of
// a document that paths can't express it lists the fields that differ, or the empty path if only their order does; of one that was
// inserted its fields but the _id.
func (w *Writer) Touched() iter.Seq2[Path, int] {
	type count struct {
		path Path
		n    int
	}
	counts := make([]count, 0, len(w.touched))
	for _, key := range slices.Collect(maps.Keys(w.touched)) {
		r := reader{rest: []byte(key)}
		counts = append(counts, count{r.path(), *w.touched[key]})
	}
	slices.SortFunc(counts, func(a, b count) int { return a.path.compare(b.path) })
	return func(yield func(Path, int) bool) {
		for _, c := range counts {
			if !yield(c.path, c.n) {
				return
			}
		}
	}
}

func (w *Writer) touchAll(op Op, before, after bson.Raw) {
	switch op {
	case Update:
		w.touchChanges()
	case Replace:
		w.touchWhole(before, after)
	case Insert:
		rest, ok := rawbson.Fields(after)
		for ok && len(rest) > 0 {
			var e rawbson.Element
			if e, rest, ok = rawbson.Next(rest); ok && string(e.Name) != "_id" {
				w.touch(appendBytes(binary.AppendUvarint(w.differ.out[:0], 1), e.Name))
			}
		}
	case Delete:
		w.deleted++
	}
}

func (w *Writer) touchChanges() {
	for _, m := range w.differ.marks {
		w.touch(w.differ.out[m.start:m.pathEnd])
	}
}

func (w *Writer) touch(path []byte) {
	if n := w.touched[string(path)]; n != nil {
		*n++
		return
	}
	n := 1
	w.touched[string(path)] = &n
}

// touchWhole compares the fields of two documents whatever their order.
func (w *Writer) touchWhole(before, after bson.Raw) {
	d := &w.differ
	d.out, d.elements = d.out[:0], d.elements[:0]
	differ := false
	for i, docs := range [...][2]bson.Raw{{before, after}, {after, before}} {
		rest, _ := rawbson.Fields(docs[0])
		these, _ := d.parse(rest)
		rest, _ = rawbson.Fields(docs[1])
		others, _ := d.parse(rest)
		w.whole.build(others)
		for _, e := range these {
			at := w.whole.find(e.Name)
			// What both have is noted the first time.
			if at < 0 || i == 0 && !e.Same(others[at]) {
				differ = true
				w.touch(appendBytes(binary.AppendUvarint(d.out[:0], 1), e.Name))
			}
		}
	}
	if !differ {
		w.touch(binary.AppendUvarint(d.out[:0], 0))
	}
}

// Forecast estimates how many bytes of journal documents it takes to change n documents in chunks of so many, from the
// entries added so far, which are a sample. It needs at least one.
func (w *Writer) Forecast(n int64, chunk int) int64 {
	if w.entries == 0 || n <= 0 || chunk <= 0 {
		return 0
	}
	w.pack()
	perEntry := float64(len(w.packed)) / float64(w.entries)
	chunks := (n + int64(chunk) - 1) / int64(chunk)
	return int64(perEntry*float64(n)) + chunks*perDocument
}

// perDocument is about what a journal document takes beside its entries: its _id, the caller's and its own fields.
const perDocument = 250
