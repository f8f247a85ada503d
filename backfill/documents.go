package backfill

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/rawbson"
)

// Documents are put together from raw elements: decoding and encoding them would cost more than all the rest.

// beginDoc starts a document. What is appended to it are elements.
func beginDoc() []byte { return append(make([]byte, 0, 128), 0, 0, 0, 0) }

// endDoc ends it.
func endDoc(doc []byte) bson.Raw { return rawbson.Close(doc, 0) }

// idKey makes the _id of a document the key of a map.
func idKey(doc bson.Raw) string { return valueKey(doc.Lookup("_id")) }

// exactKey makes a value the key of a map, for the same value of the same type only.
func exactKey(v bson.RawValue) string { return string(append([]byte{byte(v.Type)}, v.Value...)) }

// valueKey is the same for the same value, and for integers of all types. Other values may be equal to the server and differ
// here: see [findEqual].
func valueKey(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return "\x00n" + strconv.FormatInt(v.AsInt64(), 36)
	case bson.TypeDouble:
		const beyond = 1 << 63
		if f := v.Double(); f == math.Trunc(f) && f >= -beyond && f < beyond {
			return "\x00n" + strconv.FormatInt(int64(f), 36)
		}
	default:
	}
	return exactKey(v)
}

func idsOf(docs []bson.Raw) []bson.RawValue {
	ids := make([]bson.RawValue, len(docs))
	for i, doc := range docs {
		ids[i] = doc.Lookup("_id")
	}
	return ids
}

// byID reads documents by their _ids, and returns them under the keys of the _ids that were asked for. Those that there aren't
// are missing in the map.
func byID(ctx context.Context, coll *mongo.Collection, ids []bson.RawValue) (map[string]bson.Raw, error) {
	found := make(map[string]bson.Raw, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	cur, err := coll.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetBatchSize(int32(len(ids))+1)) //nolint:gosec // a chunk
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", coll.Name(), err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[valueKey(id)] = true
	}
	strange := false
	for cur.Next(ctx) {
		key := idKey(cur.Current)
		found[key] = cur.Current
		strange = strange || !asked[key]
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", coll.Name(), err)
	}
	if strange {
		return found, findEqual(ctx, coll, ids, found)
	}
	return found, nil
}

// findEqual finds what the server alone takes for equal: {a: 1} and {a: 1.0}, 1 and the decimal 1.00, and texts that differ in
// case only, under a collation that says so.
func findEqual(ctx context.Context, coll *mongo.Collection, ids []bson.RawValue, found map[string]bson.Raw) error {
	for _, id := range ids {
		key := valueKey(id)
		if found[key] != nil {
			continue
		}
		doc, err := coll.FindOne(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$eq", Value: id}}}}).Raw()
		switch {
		case err == nil:
			found[key] = doc
		case !errors.Is(err, mongo.ErrNoDocuments):
			return fmt.Errorf("reading %s: %w", coll.Name(), err)
		}
	}
	return nil
}

func int64Value(n int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt64, Value: binary.LittleEndian.AppendUint64(nil, uint64(n))} //nolint:gosec // the same bits
}

func uuidValue(id []byte) bson.RawValue {
	data := append(binary.LittleEndian.AppendUint32(nil, uint32(len(id))), bson.TypeBinaryUUID) //nolint:gosec // sixteen
	return bson.RawValue{Type: bson.TypeBinary, Value: append(data, id...)}
}
