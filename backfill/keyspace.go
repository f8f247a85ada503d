package backfill

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// bracket tells which values a plain comparison can compare with v: {$gt: v}
// finds only what is of the same kind. 0 stands for what is never compared so.
// The table is the comparison order of MongoDB's manual.
func bracket(v bson.RawValue) int {
	switch v.Type {
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128:
		return 1
	case bson.TypeString, bson.TypeSymbol:
		return 2
	case bson.TypeEmbeddedDocument:
		return 3
	case bson.TypeBinary:
		return 4
	case bson.TypeObjectID:
		return 5
	case bson.TypeBoolean:
		return 6
	case bson.TypeDateTime:
		return 7
	case bson.TypeTimestamp:
		return 8
	default: // null, missing, regular expressions, MinKey, MaxKey: few, and compared in ways of their own
		return 0
	}
}

// between selects lower < key ≤ upper in the order of all of BSON. Zero values
// are no bound. Where both bounds are of one kind, so is all between them, and
// plain comparisons are faster; elsewhere they would leave other types out.
func between(key string, lower, upper bson.RawValue) bson.D {
	if b := bracket(lower); b != 0 && b == bracket(upper) && !isNaN(lower) && !isNaN(upper) {
		return bson.D{{Key: key, Value: bson.D{{Key: "$gt", Value: lower}, {Key: "$lte", Value: upper}}}}
	}
	var bounds bson.A
	if !lower.IsZero() {
		bounds = append(bounds, compare("$gt", key, lower))
	}
	if !upper.IsZero() {
		bounds = append(bounds, compare("$lte", key, upper))
	}
	switch len(bounds) {
	case 0:
		return bson.D{}
	case 1:
		return bson.D{{Key: "$expr", Value: bounds[0]}}
	default:
		return bson.D{{Key: "$expr", Value: bson.D{{Key: "$and", Value: bounds}}}}
	}
}

func compare(op, key string, v bson.RawValue) bson.D {
	var field any = "$" + key
	if v.Type == bson.TypeUndefined {
		// A field that isn't there has null in the index, behind undefined. An expression takes it for the same as undefined.
		missing := bson.D{{Key: "$eq", Value: bson.A{bson.D{{Key: "$type", Value: field}}, "missing"}}}
		field = bson.D{{Key: "$cond", Value: bson.A{missing, nil, field}}}
	}
	return bson.D{{Key: op, Value: bson.A{field, bson.D{{Key: "$literal", Value: v}}}}}
}

// isNaN tells whether a plain comparison would match only NaN itself.
func isNaN(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeDouble:
		return math.IsNaN(v.Double())
	case bson.TypeDecimal128:
		return v.Decimal128().IsNaN()
	default:
		return false
	}
}

// and joins a range and a filter.
func and(within bson.D, filter any) bson.D {
	switch f := filter.(type) {
	case bson.D:
		if len(f) == 0 {
			return within
		}
	case nil:
		return within
	}
	if len(within) == 0 {
		return bson.D{{Key: "$and", Value: bson.A{filter}}}
	}
	return bson.D{{Key: "$and", Value: bson.A{within, filter}}}
}
