//go:build unix

package rikki_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/schedule"
)

// slotted writes down which run did which slot: one document per slot, which grows with each run that says it is the slot's.
type slotted struct{}

func (*slotted) Options() rikki.Options {
	return rikki.Options{Name: "slotted", Concurrency: -1, Resumable: true}
}

func (*slotted) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	_, err := run.DB().Collection("slots").UpdateOne(ctx, bson.D{{Key: "_id", Value: run.ScheduledAt().Unix()}},
		bson.D{{Key: "$addToSet", Value: bson.D{{Key: "runs", Value: run.ID()}}}}, options.UpdateOne().SetUpsert(true))
	return nil, err
}

// slots is a schedule that is due every second.
type slots struct{ *schedule.Scheduler }

func everySecond(t *testing.T, app *rikki.App) slots {
	t.Helper()
	s := slots{schedule.New(app, nil)}
	_, err := s.Save(t.Context(), schedule.Schedule{
		Name: "ticking", Script: "slotted", Every: time.Second, Overlap: schedule.Allow, CatchUp: schedule.CatchUpAll,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// judge waits for the end of all that fired, and compares the slots with what is recorded and with what ran.
func (s slots) judge(t *testing.T, app *rikki.App, db *mongo.Database) (fired, skipped int) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Pause(ctx, "ticking", nil); err != nil {
		t.Fatal(err)
	}
	s.settle(t)
	var found evidence
	for o, err := range s.Occurrences(ctx, schedule.OccurrenceFilter{Schedule: "ticking"}) {
		if err != nil {
			t.Fatal(err)
		}
		found.occurrences = append(found.occurrences, o)
	}
	found.ran = s.ran(t, db)
	for _, err := range app.Runs(ctx, rikki.RunFilter{Script: "slotted"}) {
		if err != nil {
			t.Fatal(err)
		}
		found.runs++
	}
	fired, skipped, wrong := found.judge()
	for _, what := range wrong {
		t.Error(what)
	}
	return fired, skipped
}

// evidence is what is left of a schedule that is due every second: what was recorded, and what happened.
type evidence struct {
	occurrences []schedule.Occurrence
	ran         map[int64][]string // the runs that worked on each slot
	runs        int                // in the history
}

// judge demands that each slot was one run's, or is recorded as skipped, and that none is missing between the first and the last.
func (e evidence) judge() (fired, skipped int, wrong []string) {
	blame := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	recorded := map[int64]schedule.Occurrence{}
	var first, last int64
	for _, o := range e.occurrences {
		until := o.At
		if o.Count > 1 {
			until = o.Until
		}
		for slot := o.At.Unix(); slot <= until.Unix(); slot++ {
			if _, twice := recorded[slot]; twice {
				blame("slot %d is recorded twice", slot)
			}
			if recorded[slot] = o; first == 0 || slot < first {
				first = slot
			}
			last = max(last, slot)
		}
	}
	for slot := first; slot <= last; slot++ {
		o, known := recorded[slot]
		switch ran := e.ran[slot]; {
		case !known:
			blame("slot %d of %d to %d is missing", slot, first, last)
		case o.State == schedule.Skipped:
			skipped++
			if len(ran) > 0 {
				blame("slot %d was skipped and run by %v", slot, ran)
			}
		default:
			fired++
			if len(ran) != 1 || o.State != schedule.Succeeded {
				blame("slot %d is %s, and was run by %v", slot, o.State, ran)
			}
		}
	}
	if e.runs != fired || len(e.ran) != fired {
		blame("%d slots fired, by %d runs, and %d slots were worked on", fired, e.runs, len(e.ran))
	}
	return fired, skipped, wrong
}

// Negative control: slots that are lost, doubled or skipped and run all the same are found.
func TestTheJudgeOfSlotsFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	at := func(slot int64, state schedule.Outcome) schedule.Occurrence {
		return schedule.Occurrence{At: time.Unix(slot, 0), State: state}
	}
	skips := schedule.Occurrence{At: time.Unix(3, 0), Until: time.Unix(5, 0), Count: 3, State: schedule.Skipped}
	one, six := at(1, schedule.Succeeded), at(6, schedule.Succeeded)
	good := func() evidence {
		return evidence{
			occurrences: []schedule.Occurrence{one, at(2, schedule.Succeeded), skips, six},
			ran:         map[int64][]string{1: {"a"}, 2: {"b"}, 6: {"c"}}, runs: 3,
		}
	}
	if fired, skipped, wrong := good().judge(); fired != 3 || skipped != 3 || wrong != nil {
		t.Fatalf("%d fired, %d skipped, wrong: %q", fired, skipped, wrong)
	}
	for want, spoil := range map[string]func(*evidence){
		"slot 2 of 1 to 6 is missing":         func(e *evidence) { e.occurrences = []schedule.Occurrence{one, skips, six} },
		"slot 4 is recorded twice":            func(e *evidence) { e.occurrences = append(e.occurrences, at(4, schedule.Skipped)) },
		"slot 2 is succeeded, and was run by": func(e *evidence) { e.ran[2] = append(e.ran[2], "d") },
		"slot 6 is succeeded, and was run by": func(e *evidence) { e.ran[6] = nil },
		"slot 6 is fired, and was run by":     func(e *evidence) { e.occurrences[3].State = schedule.Fired },
		"slot 5 was skipped and run by":       func(e *evidence) { e.ran[5] = []string{"d"} },
		"3 slots fired, by 4 runs":            func(e *evidence) { e.runs++ },
		"3 slots fired, by 3 runs, and 4":     func(e *evidence) { e.ran[9] = []string{"d"} },
	} {
		e := good()
		spoil(&e)
		_, _, wrong := e.judge()
		if !slices.ContainsFunc(wrong, func(what string) bool { return strings.HasPrefix(what, want) }) {
			t.Errorf("want %q, found %q", want, wrong)
		}
	}
}

// settle waits until nothing is open.
func (s slots) settle(t *testing.T) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := s.Schedule(t.Context(), "ticking")
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Open) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("slots that never ended: %+v", info.Open)
		}
	}
}

func (s slots) ran(t *testing.T, db *mongo.Database) map[int64][]string {
	t.Helper()
	cur, err := db.Collection("slots").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		Slot int64    `bson:"_id"`
		Runs []string `bson:"runs"`
	}
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	ran := map[int64][]string{}
	for _, d := range docs {
		ran[d.Slot] = d.Runs
	}
	return ran
}
