package backfill

import (
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	// maxLine bounds a line of NDJSON: a document of the server's limit in its longest form.
	maxLine = 64 << 20
	// maxRow bounds a row of CSV likewise: each character of it can be a quote, and doubled.
	maxRow = 32 << 20
	// usualRow is how long a row is for which a buffer is kept.
	usualRow = 1 << 20
	// usualLine is how long lines are for which there is always room.
	usualLine = 64 << 10
)

// byteOrderMark is what spreadsheets begin a file with.
const byteOrderMark = "\xef\xbb\xbf"

var errLongRow = fmt.Errorf("a row of more than %d MiB: is there a quote that isn't closed?", maxRow>>20)

// lineKey is a line number as a key.
func lineKey(n int64) bson.RawValue {
	kind, data, _ := bson.MarshalValue(n) // a number always encodes
	return bson.RawValue{Type: kind, Value: data}
}

func closeIf(c io.Closer) error {
	if c == nil {
		return nil
	}
	return c.Close()
}
