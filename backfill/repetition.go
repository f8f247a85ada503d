package backfill

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// repetition finds out whether keys repeat themselves, in little memory: the same one twice in a row, and a row of them that begins
// again. It remembers one key for so long as there were keys before it, as R. P. Brent's search for cycles does: a cycle is found
// once that is longer than the cycle.
type repetition struct {
	before bson.RawValue // the last key
	kept   bson.RawValue
	n, to  int64 // keys since kept, and how many there may be before another one is kept
}

func (r *repetition) next(key bson.RawValue) error {
	if !r.before.IsZero() && valueKey(key) == valueKey(r.before) {
		return fmt.Errorf("the key %s of an item is that of the item before it: a run that goes on behind that key would not know which of them is done; "+
			"give each its own", relaxed(key))
	}
	if !r.kept.IsZero() && valueKey(key) == valueKey(r.kept) {
		return fmt.Errorf("the items begin again with the key %s: list each once, and return behind the last", relaxed(key))
	}
	if r.n++; r.n > r.to {
		r.kept, r.n, r.to = key, 0, 2*r.to+1
	}
	r.before = key
	return nil
}
