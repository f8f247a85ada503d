package rawbson

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Append appends a field.
func Append[S string | []byte](dst []byte, name S, v bson.RawValue) []byte {
	dst = append(dst, byte(v.Type))
	dst = append(dst, name...)
	dst = append(dst, 0)
	return append(dst, v.Value...)
}

// Open begins a document whose length [Close] fills in. What is appended in between are fields.
func Open(dst []byte) (out []byte, start int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// OpenField begins a field that is a document or an array.
func OpenField[S string | []byte](dst []byte, kind bson.Type, name S) (out []byte, start int) {
	return Open(Append(dst, name, bson.RawValue{Type: kind}))
}

// Close ends the document that begins at start.
func Close(dst []byte, start int) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start)) //nolint:gosec // documents are far smaller than 2 GiB
	return dst
}
