package backfill

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// errInOrder says that a chunk is to be done again, with each write in its place.
var errInOrder = errors.New("a unique index holds, so deletions are done where they stand from now on")

// writtenIDs are the documents of a collection that a chunk writes to. Two _ids that are the same to the server are the same here;
// some others may be as well.
type writtenIDs struct {
	folds   bool // texts can be the same that are written in another way
	all     map[string]bool
	waiting map[string]bool // those whose deletion may wait
}

func (w *writtenIDs) has(id bson.RawValue) bool {
	return len(w.all) > 0 && w.all[looseKey(id, w.folds)]
}

// update adds a document that is written, and tells whether its deletion may wait still: then it must wait no more, none of them.
func (w *writtenIDs) update(id bson.RawValue) bool {
	key := w.add(id)
	if !w.waiting[key] {
		return false
	}
	clear(w.waiting)
	return true
}

func (w *writtenIDs) remove(id bson.RawValue) {
	key := w.add(id)
	if w.waiting == nil {
		w.waiting = map[string]bool{}
	}
	w.waiting[key] = true
}

func (w *writtenIDs) add(id bson.RawValue) string {
	if w.all == nil {
		w.all = map[string]bool{}
	}
	key := looseKey(id, w.folds)
	w.all[key] = true
	return key
}

// looseKey is the same for values that are equal to the server, and perhaps for some that are not: numbers that are next to each
// other, and all texts where the collation decides.
func looseKey(v bson.RawValue, folds bool) string { return string(appendLoose(nil, v, folds)) }

func appendLoose(dst []byte, v bson.RawValue, folds bool) []byte {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		dst = append(dst, 'n')
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(nearest(v)))
	case bson.TypeString, bson.TypeSymbol:
		dst = append(dst, 's')
		if folds {
			return dst
		}
		return append(dst, v.Value...)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		dst = append(dst, byte(v.Type))
		rest, ok := rawbson.Fields(v.Value)
		for ok && len(rest) > 0 {
			var e rawbson.Element
			if e, rest, ok = rawbson.Next(rest); ok {
				dst = append(append(dst, e.Name...), 0)
				dst = appendLoose(dst, e.RawValue(), folds)
			}
		}
		return append(dst, 0)
	default:
		return append(append(dst, byte(v.Type)), v.Value...)
	}
}

// nearest is the double that is nearest to a number, the same one for all that are no number, and for both zeros.
func nearest(v bson.RawValue) float64 {
	var f float64
	switch v.Type {
	case bson.TypeDouble:
		f = v.Double()
	case bson.TypeDecimal128:
		f, _ = strconv.ParseFloat(v.Decimal128().String(), 64) // what is too large is infinite
	default:
		f = float64(v.AsInt64())
	}
	switch {
	case math.IsNaN(f):
		return math.NaN()
	case f == 0:
		return 0
	}
	return f
}
