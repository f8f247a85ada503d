package backfill

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// poisoned passes the only document of a chunk by. The attempt may have failed before it knew which one that is.
func (c *chunk) poisoned(ctx context.Context, err error, tries int) error {
	if len(c.keys) == 0 && c.e.opts.Source == nil {
		if key, _, lookErr := c.e.boundary(ctx, c.part, 1); lookErr == nil && !key.IsZero() {
			c.keys = []bson.RawValue{key}
		}
	}
	if len(c.keys) != 1 {
		return err
	}
	if _, known := c.poison[exactKey(c.keys[0])]; known {
		return err // it was passed by, and that was no use
	}
	c.poison[exactKey(c.keys[0])] = reasonOf(classOf(err), err, tries)
	c.vain = vain{}
	return nil
}

// blame passes one document by. It is false if that was no use already.
func (c *chunk) blame(index int, class string, err error, tries int) bool {
	if index >= len(c.keys) {
		return false
	}
	key := exactKey(c.keys[index])
	if _, known := c.poison[key]; known {
		return false
	}
	c.poison[key] = reasonOf(class, err, tries)
	c.vain = vain{}
	return true
}

// passOne passes a document by that is alone in its chunk, before anything is computed with it.
func (c *chunk) passOne(ctx context.Context) (bool, error) {
	if c.size != 1 || len(c.poison) == 0 || c.e.opts.Source != nil {
		return false, nil
	}
	key, end, err := c.e.boundary(ctx, c.part, 1)
	if err != nil || key.IsZero() || !c.passBy(key) {
		return false, err
	}
	c.counts.Matched++
	return true, c.advance(ctx, key, end)
}

// passBy counts a document out that can't be done, if it is one of those.
func (c *chunk) passBy(key bson.RawValue) bool {
	if len(c.poison) == 0 {
		return false
	}
	why, ok := c.poison[exactKey(key)]
	if ok {
		c.fail(key, why)
	}
	return ok
}

func (c *chunk) fail(key bson.RawValue, why reason) {
	c.counts.Failed++
	c.note(key, why)
}

// shortMessage is how long a message may be behind that.
const shortMessage = 200

// roomForMessages is how much text the failures of a chunk may hold altogether: thousands of documents can fail in one.
const roomForMessages = 1 << 20

// note keeps a failure for the record.
func (c *chunk) note(key bson.RawValue, why reason) {
	most := store.MessageLimit
	if c.told > roomForMessages {
		most = shortMessage
	}
	message := store.ClipMessage(why.message, most)
	stack := why.stack
	if c.told > roomForMessages {
		stack = ""
	}
	c.told += len(message) + len(stack)
	c.failures = append(c.failures, store.DocFailure{
		Key: key, Class: why.class, Message: message, Stack: stack, Attempts: why.attempts, At: time.Now(),
	})
}
