package backfill

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// undoneOf is what failed in a run and has not been done since. A retry notes what it does in the failures of the run in which that
// failed first, in the transaction that does it. So it is done once, however often somebody asks, of which of the retries, and at the
// same time.
type undoneOf struct {
	history   *store.Store
	run, root string
	self      string // the run that asks

	mu   sync.Mutex
	back map[string]bool // retries, and whether they were undone, so that what they did is to be done again
}

func newUndone(ctx context.Context, s *store.Store, run, self string) (*undoneOf, error) {
	u := &undoneOf{history: s, run: run, root: run, self: self, back: map[string]bool{}}
	for f, err := range s.Failures(ctx, run) {
		if err != nil {
			return nil, err
		}
		if f.Root != "" {
			u.root = f.Root
		}
		break
	}
	return u, nil
}

// left is what of these keys is not done yet.
func (u *undoneOf) left(ctx context.Context, keys []bson.RawValue) ([]bson.RawValue, error) {
	done, err := u.history.DoneSince(ctx, u.root, keys)
	if err != nil || len(done) == 0 {
		return keys, err
	}
	known := make(map[string]bool, len(done))
	for _, d := range done {
		if d.By == u.self {
			continue // what this run has done is behind its cursors
		}
		back, err := u.undone(ctx, d.By)
		if err != nil {
			return nil, err
		}
		known[valueKey(d.Key)] = !back
	}
	left := make([]bson.RawValue, 0, len(keys))
	for _, key := range keys {
		if !known[valueKey(key)] {
			left = append(left, key)
		}
	}
	return left, nil
}

// among is what of these keys failed and is not done yet.
func (u *undoneOf) among(ctx context.Context, keys []bson.RawValue) ([]bson.RawValue, error) {
	failed, err := u.history.FailedAmong(ctx, u.run, keys)
	if err != nil || len(failed) == 0 {
		return nil, err
	}
	found := make([]bson.RawValue, len(failed))
	for i := range failed {
		found[i] = failed[i].Key
	}
	return u.left(ctx, found)
}

// undone tells whether a retry was undone to its end. That is looked up once: an undo that comes to its end later leaves this run as
// it is.
func (u *undoneOf) undone(ctx context.Context, retry string) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if back, known := u.back[retry]; known {
		return back, nil
	}
	back, err := u.history.Undone(ctx, retry)
	if err == nil {
		u.back[retry] = back
	}
	return back, err
}

// done notes what a chunk has done, but for what has failed once more.
func (u *undoneOf) done(ctx context.Context, c *chunk) error {
	if u == nil {
		return nil
	}
	again := make(map[string]bool, len(c.failures))
	for i := range c.failures {
		again[valueKey(c.failures[i].Key)] = true
		c.failures[i].Root = u.root
	}
	keys := make([]bson.RawValue, 0, len(c.keys))
	for _, key := range c.keys {
		if !again[valueKey(key)] {
			keys = append(keys, key)
		}
	}
	return u.history.MarkDone(ctx, u.root, keys, u.self)
}

// nothingLeft tells who has done what failed in a run, if nothing of that is left.
func nothingLeft(ctx context.Context, s *store.Store, run string) (bool, error) {
	u, err := newUndone(ctx, s, run, "")
	if err != nil {
		return false, err
	}
	var page []bson.RawValue
	look := func() (bool, error) {
		left, err := u.left(ctx, page)
		page = page[:0]
		return len(left) > 0, err
	}
	for f, err := range s.Failures(ctx, run) {
		if err != nil {
			return false, err
		}
		if page = append(page, f.Key); len(page) == perWindow {
			if some, err := look(); some || err != nil {
				return false, err
			}
		}
	}
	some, err := look()
	return !some, err
}
