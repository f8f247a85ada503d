package schedule_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/schedule"
)

// Tally counts how often each slot was run.
type Tally struct{}

func (*Tally) Options() rikki.Options { return rikki.Options{Concurrency: -1} }

func (*Tally) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	_, err := run.DB().Collection("tally").UpdateOne(ctx,
		bson.D{{Key: "_id", Value: fmt.Sprintf("%s@%d", run.Schedule(), run.ScheduledAt().UnixMilli())}},
		bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}, options.UpdateOne().SetUpsert(true))
	return nil, err
}

// Two schedulers fire the same tick (peers: a lock that is released at the end of a fast job, a leader that was cut off and goes on):
// five schedulers look at the same schedules at once, stop and start at random, and give up their work at every point of it. Each slot
// runs once, or is recorded as skipped.
func TestManySchedulersFireEachSlotOnce(t *testing.T) {
	t.Parallel()
	const processes, schedules = 5, 6
	length := 8 * time.Second
	if d, err := time.ParseDuration(os.Getenv("RIKKI_CHAOS")); err == nil {
		length = d
	}
	b := setup(t, schedule.Options{}, &Tally{})
	for i := range schedules {
		b.save(t, schedule.Schedule{
			Name: fmt.Sprintf("tick-%d", i), Script: "tally", Every: time.Second, Overlap: []schedule.Overlap{schedule.Allow, schedule.Queue}[i%2],
			CatchUp: schedule.CatchUpAll, Jitter: time.Duration(i%3) * 200 * time.Millisecond,
		})
	}
	serving, stopServing := context.WithCancelCause(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := b.app.Serve(serving, &rikki.ServeOptions{Workers: 8, Poll: 100 * time.Millisecond}); err != nil {
			t.Error(err)
		}
	})
	defer func() { stopServing(rikki.ErrInterrupted); served.Wait() }()

	chaos, end := context.WithTimeout(t.Context(), length)
	defer end()
	var group sync.WaitGroup
	var stops, crashes atomic.Int64
	var points sync.Map
	for range processes {
		group.Go(func() {
			for chaos.Err() == nil {
				s := b.scheduler(schedule.Options{})
				schedule.Crash(s, func(point string) error {
					if rand.IntN(10) == 0 {
						crashes.Add(1)
						points.Store(point, true)
						return schedule.ErrCrash
					}
					return nil
				})
				// A deadline would be seen by the driver before it has passed; a stop comes by cancelling.
				life, stop := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(rand.IntN(1500))*time.Millisecond, stop)
				if err := s.Run(life); err != nil {
					t.Error(err)
				}
				timer.Stop()
				stop()
				stops.Add(1)
			}
		})
	}
	group.Wait()

	// One that behaves well completes what is left.
	calm, stop := context.WithCancel(context.Background())
	var last sync.WaitGroup
	last.Go(func() {
		if err := b.Run(calm); err != nil {
			t.Error(err)
		}
	})
	for i := range schedules {
		if _, err := b.Pause(t.Context(), fmt.Sprintf("tick-%d", i), nil); err != nil {
			t.Error(err)
		}
	}
	b.await(t, "end of everything open", func([]schedule.Occurrence) bool {
		for i := range schedules {
			if len(b.info(t, fmt.Sprintf("tick-%d", i)).Open) > 0 {
				b.mu.Lock()
				select {
				case b.news <- struct{}{}:
				default:
				}
				b.mu.Unlock()
				return false
			}
		}
		return true
	})
	stop()
	last.Wait()

	if stops.Load() < processes || crashes.Load() == 0 {
		t.Errorf("%d stops and %d crashes: nothing was proved", stops.Load(), crashes.Load())
	}
	for _, point := range []string{"schedule.decided", "schedule.recorded", "schedule.queued", "schedule.ended"} {
		if _, ok := points.Load(point); !ok && length > time.Minute {
			t.Errorf("no crash at %s", point)
		}
	}
	fired, skipped := 0, 0
	for i := range schedules {
		f, s := b.balance(t, fmt.Sprintf("tick-%d", i))
		fired, skipped = fired+f, skipped+s
	}
	t.Logf("%d slots fired once, %d were skipped, with %d stops and %d crashes", fired, skipped, stops.Load(), crashes.Load())
	if fired < schedules*int(length/time.Second)/2 {
		t.Errorf("only %d slots fired", fired)
	}
}

// balance compares the slots with what was recorded and with what was run.
func (b *bundle) balance(t *testing.T, name string) (fired, skipped int) {
	t.Helper()
	recorded := map[int64]schedule.Occurrence{}
	list := b.occurrences(t, schedule.OccurrenceFilter{Schedule: name})
	for _, o := range list {
		until := o.At
		if o.Count > 1 {
			until = o.Until
		}
		for slot := o.At; !slot.After(until); slot = slot.Add(time.Second) {
			if _, twice := recorded[slot.Unix()]; twice {
				t.Errorf("%s: slot %s is recorded twice", name, slot)
			}
			recorded[slot.Unix()] = o
		}
	}
	ran := map[string]int{}
	cur, err := b.db.Collection("tally").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		ID string `bson:"_id"`
		N  int    `bson:"n"`
	}
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		if strings.HasPrefix(d.ID, name+"@") {
			ran[d.ID] = d.N
		}
	}
	if len(list) == 0 {
		t.Errorf("%s: nothing is recorded", name)
		return 0, 0
	}
	first, last := list[0].At, list[len(list)-1].At
	for slot := first; !slot.After(last); slot = slot.Add(time.Second) {
		o, ok := recorded[slot.Unix()]
		n := ran[fmt.Sprintf("%s@%d", name, slot.UnixMilli())]
		switch {
		case !ok:
			t.Errorf("%s: slot %s is missing", name, slot)
		case o.State == schedule.Skipped:
			skipped++
			if n != 0 {
				t.Errorf("%s: slot %s was skipped and ran %d times", name, slot, n)
			}
		default:
			fired++
			if n != 1 || o.State != schedule.Succeeded {
				t.Errorf("%s: slot %s ran %d times and is %s", name, slot, n, o.State)
			}
		}
	}
	if len(ran) != fired {
		t.Errorf("%s: %d slots ran, %d are recorded", name, len(ran), fired)
	}
	return fired, skipped
}
