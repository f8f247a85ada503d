package backfill

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/pace"
	"github.com/rikki-go/rikki/internal/store"
)

// Verified is what the last step found.
type Verified struct {
	// Checked is how many documents were looked at again, and Left how many of them are not as they shall be.
	Checked int64 `json:"checked"`
	Left    int64 `json:"left"`
	// Arrived is how many documents came after the walk's end was frozen. They were not visited.
	Arrived int64 `json:"arrived,omitempty"`
}

// leftover is what a second look at some documents found.
type leftover struct {
	looked int64           // how many there were
	left   []bson.RawValue // the keys of those that would change again, or aren't done
	last   bson.RawValue   // the key of the last one; zero if there were none
	end    bool            // there is nothing behind
}

// verify looks at all documents of the walk again.
func (e *engine) verify(ctx context.Context) (*Verified, error) {
	v := &Verified{}
	parts, err := e.walk.Partitions(ctx)
	if err != nil || len(parts) == 0 {
		return v, err
	}
	if e.opts.Source == nil && !e.picks() {
		if v.Arrived, err = e.arrived(ctx, parts[len(parts)-1].Upper); err != nil {
			return v, err
		}
	}
	f, isFunc := e.work.(*functionWork)
	if e.opts.Source != nil || !e.opts.VerifyAgain && (!isFunc || f.done == nil) {
		if v.Arrived == 0 {
			return nil, nil
		}
		return v, nil
	}
	if e.varies() { // only a Doner gets here: see [engine.checkVerify]
		e.log.Warn("the run is not verified: its filter selects other documents each time it is asked")
		return nil, nil
	}
	e.pace.verifying = true
	err = e.paced(ctx, func(waits context.Context) {
		for _, p := range parts {
			p.Cursor = bson.RawValue{}
			if err := e.verifyPartition(ctx, waits, p, v); err != nil {
				e.fail(e.changedMeanwhile(ctx, err))
				return
			}
		}
	})
	return v, err
}

// news is how many of the documents that are left didn't fail in the run: of the others it is known.
func (e *engine) news(ctx context.Context, left []bson.RawValue) (int64, error) {
	if len(left) == 0 || e.counts.Failed == 0 {
		return int64(len(left)), nil
	}
	known, err := e.store.FailedAmong(ctx, e.run.ID(), left)
	return int64(len(left) - len(known)), err
}

// verifyPartition looks at a partition at the pace of the run: it only reads, but others feel that as well.
func (e *engine) verifyPartition(ctx, waits context.Context, p store.Partition, v *Verified) error {
	if err := e.retried.open(ctx, p); err != nil {
		return err
	}
	defer e.retried.close(p)
	for {
		turn, err := e.pace.controller.Next(waits)
		if err != nil {
			return err
		}
		began := time.Now()
		found, err := e.work.leftover(ctx, e, p, turn.Docs)
		if err != nil {
			turn.Drop()
			return err
		}
		turn.Done(pace.Outcome{Docs: int(found.looked), Took: time.Since(began)})
		left, err := e.news(ctx, found.left)
		if err != nil {
			return err
		}
		v.Left += left
		v.Checked += found.looked
		if found.end || found.last.IsZero() {
			return nil
		}
		p.Cursor = found.last
	}
}

// varies tells whether the filter is known to select other documents each time it is asked.
func (e *engine) varies() bool {
	text, err := bson.MarshalExtJSON(bson.D{{Key: "f", Value: e.opts.Filter}}, false, false)
	return err == nil && slices.ContainsFunc([]string{`"$$NOW`, `"$$CLUSTER_TIME`, `"$rand"`, `"$sampleRate"`}, func(word string) bool {
		return strings.Contains(string(text), word)
	})
}

// checkVerify refuses to verify what can't be verified, before anything is written.
func (e *engine) checkVerify() error {
	if e.opts.VerifyAgain && e.varies() {
		return errors.New("Options.VerifyAgain: the filter selects other documents each time it is asked, so none of those that are left then tells anything: leave VerifyAgain out")
	}
	return nil
}

// arrived counts what lies behind the frozen end, up to a limit.
func (e *engine) arrived(ctx context.Context, upper bson.RawValue) (int64, error) {
	const most = 100_000
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	n, err := e.matching(ctx, and(between(e.opts.Key, upper, bson.RawValue{}), e.opts.Filter), most)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return 0, nil
	}
	return n, err
}
