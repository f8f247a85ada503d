package rawbson

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Element is one field of a document, by reference into it.
type Element struct {
	Name, Value []byte
	Raw         []byte // all of it: type, name and value
	Kind        bson.Type
}

// RawValue is the value with its type.
func (e Element) RawValue() bson.RawValue { return bson.RawValue{Type: e.Kind, Value: e.Value} }

// Same says whether two elements have the same value, byte for byte.
func (e Element) Same(o Element) bool { return e.Kind == o.Kind && bytes.Equal(e.Value, o.Value) }

// emptyDocument is the shortest one: a length and an end.
const emptyDocument = 5

// Fields returns what stands between the length and the end of a document.
func Fields(doc []byte) ([]byte, bool) {
	n := DocumentSize(doc)
	if n < 0 || n != len(doc) {
		return nil, false
	}
	return doc[4 : n-1], true
}

// Next reads the first of the elements in rest.
func Next(rest []byte) (e Element, tail []byte, ok bool) {
	if len(rest) < 2 {
		return e, nil, false
	}
	end := bytes.IndexByte(rest[1:], 0)
	if end < 0 {
		return e, nil, false
	}
	start := end + 2
	n := ValueSize(bson.Type(rest[0]), rest[start:])
	if n < 0 {
		return e, nil, false
	}
	return Element{
		Kind: bson.Type(rest[0]), Name: rest[1 : 1+end : 1+end],
		Value: rest[start : start+n : start+n], Raw: rest[: start+n : start+n],
	}, rest[start+n:], true
}

// ValueSize is the length of the value at the beginning of b, or -1 if there is none.
func ValueSize(kind bson.Type, b []byte) int {
	n := -1
	switch kind {
	case bson.TypeUndefined, bson.TypeNull, bson.TypeMinKey, bson.TypeMaxKey:
		n = 0
	case bson.TypeBoolean:
		n = 1
	case bson.TypeInt32:
		n = 4
	case bson.TypeDouble, bson.TypeDateTime, bson.TypeTimestamp, bson.TypeInt64:
		n = 8
	case bson.TypeObjectID:
		n = 12
	case bson.TypeDecimal128:
		n = 16
	case bson.TypeString, bson.TypeJavaScript, bson.TypeSymbol:
		n = stringSize(b)
	case bson.TypeDBPointer:
		if n = stringSize(b); n >= 0 {
			n += 12
		}
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		n = DocumentSize(b)
	case bson.TypeBinary:
		if l := prefix(b); l >= 0 {
			n = 4 + 1 + l
		}
	case bson.TypeRegex:
		n = regexSize(b)
	case bson.TypeCodeWithScope:
		if l := prefix(b); l >= 4+4+1+emptyDocument {
			n = l
		}
	}
	if n > len(b) {
		return -1
	}
	return n
}

// prefix is the length that stands at the beginning of b, or -1.
func prefix(b []byte) int {
	if len(b) < 4 {
		return -1
	}
	n := binary.LittleEndian.Uint32(b)
	if n > 1<<30 {
		return -1
	}
	return int(n)
}

// DocumentSize is the length of the document at the beginning of b, or -1 if there is none.
func DocumentSize(b []byte) int {
	n := prefix(b)
	if n < emptyDocument || n > len(b) || b[n-1] != 0 {
		return -1
	}
	return n
}

func stringSize(b []byte) int {
	n := prefix(b)
	if n < 1 || 4+n > len(b) || b[4+n-1] != 0 {
		return -1
	}
	return 4 + n
}

func regexSize(b []byte) int {
	pattern := bytes.IndexByte(b, 0)
	if pattern < 0 {
		return -1
	}
	options := bytes.IndexByte(b[pattern+1:], 0)
	if options < 0 {
		return -1
	}
	return pattern + 1 + options + 1
}

// Lookup finds a field of a document.
func Lookup(doc bson.Raw, name string) (Element, bool) {
	rest, ok := Fields(doc)
	for ok && len(rest) > 0 {
		var e Element
		if e, rest, ok = Next(rest); ok && string(e.Name) == name {
			return e, true
		}
	}
	return Element{}, false
}
