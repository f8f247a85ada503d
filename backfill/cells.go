package backfill

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/extjson"
)

// cellKind is what a column of CSV holds, as --types names it; empty is text, or an ObjectID in the column _id.
type cellKind string

const (
	cellText     cellKind = "string"
	cellInt      cellKind = "int" // of 32 bits where it fits, as of a number in a shell
	cellLong     cellKind = "long"
	cellDouble   cellKind = "double"
	cellDecimal  cellKind = "decimal"
	cellBool     cellKind = "bool"
	cellDate     cellKind = "date"
	cellObjectID cellKind = "objectId"
	cellUUID     cellKind = "uuid"
	cellJSON     cellKind = "json"
)

func cellKinds() []cellKind {
	return []cellKind{cellText, cellInt, cellLong, cellDouble, cellDecimal, cellBool, cellDate, cellObjectID, cellUUID, cellJSON}
}

func cellKindNames() []string {
	names := make([]string, 0, len(cellKinds()))
	for _, k := range cellKinds() {
		names = append(names, string(k))
	}
	return names
}

// emptyCell is what becomes of a cell without anything.
type emptyCell string

const (
	emptyText  emptyCell = "text"
	emptySkip  emptyCell = "skip"
	emptyNull  emptyCell = "null"
	emptyUnset emptyCell = "unset"
)

var (
	errEmptyCell = errors.New("it is empty")
	plainDouble  = regexp.MustCompile(`^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`)
)

// value is a cell, as it was read, as a value of the column's type.
func (k cellKind) value(cell bson.RawValue) (bson.RawValue, error) {
	text, isText := cell.StringValueOK()
	if id, ok := cell.ObjectIDOK(); ok && k != "" { // the column _id, read as the source reads it
		text, isText = id.Hex(), true
	}
	switch {
	case !isText || k == "":
		return cell, nil
	case k == cellText:
		return stringValue(text), nil
	case text == "":
		return bson.RawValue{}, errEmptyCell
	case k == cellJSON:
		return extjson.Value([]byte(text))
	}
	v, err := k.parse(text)
	if err != nil {
		return bson.RawValue{}, fmt.Errorf("%q is no %s", text, k)
	}
	kind, data, err := bson.MarshalValue(v)
	return bson.RawValue{Type: kind, Value: data}, err
}

// parse reads a text as a Go value that encodes to the type.
func (k cellKind) parse(text string) (any, error) {
	switch k { //nolint:exhaustive // text and JSON need none
	case cellInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && math.MinInt32 <= n && n <= math.MaxInt32 {
			return int32(n), nil
		}
		return n, err
	case cellLong:
		return strconv.ParseInt(text, 10, 64)
	case cellDouble:
		if !plainDouble.MatchString(text) {
			return nil, strconv.ErrSyntax
		}
		return strconv.ParseFloat(text, 64)
	case cellDecimal:
		if !plainDouble.MatchString(text) {
			return nil, strconv.ErrSyntax
		}
		return bson.ParseDecimal128(text)
	case cellBool:
		return boolOf(text)
	case cellDate:
		return dateOf(text)
	case cellObjectID:
		return bson.ObjectIDFromHex(text)
	case cellUUID:
		id, ok := uuidOf(text)
		if !ok {
			return nil, strconv.ErrSyntax
		}
		return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: id}, nil
	}
	return text, nil
}

func boolOf(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, strconv.ErrSyntax
}

// dateOf reads a date, or a moment; without a zone it is UTC.
func dateOf(text string) (bson.DateTime, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			return bson.NewDateTimeFromTime(at), nil
		}
	}
	return 0, strconv.ErrSyntax
}
