package backfill

import (
	"context"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// A transaction ends with the first document that the server refuses, so each of those costs an attempt at its whole chunk. Where
// there are many, chunks must be small, or all others in them are read and written again for each.

const (
	// manyPoisoned is how many documents may be found in a chunk before it is halved.
	manyPoisoned = 4
	// cautious is how small that makes a chunk. A commit costs about as much as an attempt at some documents.
	cautious = 16
)

// isolate passes a document by that can't be done: the one that the error names, or else the one that is left when the chunk
// was halved often enough.
func (w *worker) isolate(ctx context.Context, c *chunk, err error, tries int) (store.Partition, int, error) {
	var doc *documentError
	if errors.As(err, &doc) && doc.index >= 0 && c.blame(doc.index, doc.class, doc.err, tries) {
		if len(c.poison)%manyPoisoned == 0 && c.size > cautious {
			c.halved = max(cautious, c.size/2)
			return c.part, c.halved, nil
		}
		return c.part, c.size, nil
	}
	if c.size <= 1 {
		if doc == nil {
			if found, err := w.suspect(ctx, c, err, tries); !found {
				return c.part, 1, err
			}
		}
		return c.part, 1, c.poisoned(ctx, err, tries)
	}
	if _, ok := w.work.(*pipelineWork); ok && !c.singly {
		c.singly = true
		return c.part, c.size, nil
	}
	c.halved = c.size / 2
	return c.part, c.halved, nil
}

// tooMuch decides about one document alone that is too much for the server: it is too large, or the server is too slow or has no room.
func (w *worker) tooMuch(ctx context.Context, c *chunk, err error, tries int) (store.Partition, int, error) {
	var own *store.OwnError
	large := errors.Is(err, journal.ErrTooLarge) || saysTooLarge(err) || hasAnyCode(err, codeTxnTooLarge, codeObjectTooLarge, codeCacheTooSmall)
	switch {
	case large:
		return c.part, 1, c.poisoned(ctx, err, tries)
	case errors.As(err, &own):
		return c.part, 1, w.wait(c, err, tries)
	}
	found, suspectErr := w.suspect(ctx, c, err, tries)
	if !found {
		return c.part, 1, suspectErr
	}
	return c.part, 1, c.poisoned(ctx, err, tries)
}

// caution keeps the chunks of a worker small for a while, behind documents that could not be done. Those that fail alike lie together.
type caution struct{ limit int }

func (k *caution) size(wanted int) int {
	if k.limit == 0 || k.limit >= wanted {
		k.limit = 0
		return wanted
	}
	return k.limit
}

// done takes what the attempts at a chunk have met.
func (k *caution) done(met *trouble) {
	switch {
	case met.halved > 0:
		k.limit = 2 * met.halved
		if len(met.poison) >= manyPoisoned {
			k.limit = met.halved
		}
	case len(met.poison) < manyPoisoned:
		k.limit *= 2
	}
}

// reasonOf is why a document is passed by. No more of the error's text is held than is recorded.
func reasonOf(class string, err error, tries int) reason {
	stack := stackOf(err)
	if f, ok := errors.AsType[*failedError](err); ok {
		stack = f.stack
	}
	return reason{class: class, message: clipped(err), stack: stack, attempts: tries}
}

// clipped is what is recorded of an error's text.
func clipped(err error) string {
	text := err.Error()
	if refused, ok := errors.AsType[mongo.WriteException](err); ok && len(refused.WriteErrors) == 1 && refused.WriteConcernError == nil {
		text = strings.Replace(text, refused.Error(), refused.WriteErrors[0].Message, 1) // the driver's frame says nothing
	}
	return store.ClipMessage(text, store.MessageLimit)
}
