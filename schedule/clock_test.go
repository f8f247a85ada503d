package schedule_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/schedule"
)

// Long waits at its gate, whichever attempt it is, and counts how often it came to its end.
type Long struct {
	begun chan int
	gate  chan struct{}
}

func (l *Long) Options() rikki.Options { return rikki.Options{Name: "long", Resumable: true} }

func (l *Long) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	select {
	case l.begun <- run.Attempt():
	default:
	}
	select {
	case <-l.gate:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := run.Checkpoint(ctx, run.Attempt()); err != nil { // it is refused where another attempt has the run
		return nil, err
	}
	_, err := run.DB().Collection("ends").InsertOne(ctx, bson.D{})
	return nil, err
}

// The clock that decides is the server's. A process that serves goes on while it jumps back an hour and, later, reaches that time again:
// no slot is lost or fires twice, and a run that was under way comes to its end once.
func TestServingWhileTheClockJumpsBackAnHour(t *testing.T) {
	t.Parallel()
	long := &Long{begun: make(chan int, 1), gate: make(chan struct{})}
	b := setup(t, schedule.Options{}, &Tally{}, long)
	b.save(t, schedule.Schedule{Name: "ticks", Script: "tally", Every: time.Second, Overlap: schedule.Allow, CatchUp: schedule.CatchUpAll})
	stop := b.serve(t)
	id, err := b.app.Enqueue(t.Context(), "long", nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-long.begun:
	case <-time.After(patience):
		t.Fatal("the long run did not begin")
	}
	succeeded := func(n int) func([]schedule.Occurrence) bool {
		return func(told []schedule.Occurrence) bool { return count(told, schedule.Succeeded) >= n }
	}
	b.await(t, "three slots before the jump", succeeded(3))
	before := jump(t, b, -time.Hour)

	// The lease is one from the future now, until it is renewed or found to be nobody's, and another attempt has the run.
	b.until(t, id, "lease of the present", func(r rikki.Record) bool {
		return r.State == rikki.Running && time.Until(r.LeaseExpires) < 50*time.Minute
	})
	close(long.gate)
	b.until(t, id, "end", func(r rikki.Record) bool { return r.State == rikki.Succeeded })
	if n, err := b.db.Collection("ends").CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("the long run came to its end %d times, %v", n, err)
	}
	if next := b.info(t, "ticks").Due; time.Until(next) < 50*time.Minute {
		t.Errorf("the next slot is due at %s: its time was before the jump", next)
	}
	if list := b.occurrences(t, schedule.OccurrenceFilter{Schedule: "ticks"}); len(list) != before {
		t.Errorf("%d slots were decided on before the jump, and %d behind it", before, len(list))
	}

	jump(t, b, time.Hour) // the clock has caught up
	b.await(t, "three slots behind it", succeeded(before+3))
	if _, err := b.Pause(t.Context(), "ticks", nil); err != nil {
		t.Fatal(err)
	}
	b.await(t, "end of everything open", func([]schedule.Occurrence) bool { return len(b.info(t, "ticks").Open) == 0 })
	stop()
	fired, skipped := b.balance(t, "ticks")
	if skipped != 0 {
		t.Errorf("%d slots were skipped though the schedule catches up", skipped)
	}
	t.Logf("%d slots fired once each", fired)
}

// until waits for a run.
func (b *bundle) until(t *testing.T, id, what string, is func(rikki.Record) bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		record, err := b.app.Record(t.Context(), id)
		if err == nil && is(record) {
			return
		}
		if err != nil || record.State.Final() || time.Now().After(end) {
			t.Fatalf("no %s: the run is %s, %+v, %v", what, record.State, record.Error, err)
		}
	}
}

// errUnderWay says that the moment is not a good one.
var errUnderWay = errors.New("a run of the schedule is under way")

// jump sets the clock: that it goes back by an hour is the same as that all that has happened was an hour later. It does so between two
// runs of the schedule, since those have their time in memory, and returns how many slots were decided on.
func jump(t *testing.T, b *bundle, by time.Duration) (slots int) {
	t.Helper()
	history := b.db.Client().Database(b.db.Name() + "_history")
	session, err := b.db.Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(t.Context())
	all := func(ctx context.Context) (any, error) {
		open := bson.D{{Key: "script", Value: "tally"}, {Key: "state", Value: bson.D{{Key: "$in", Value: bson.A{rikki.Queued, rikki.Running}}}}}
		if n, err := history.Collection("runs").CountDocuments(ctx, open); err != nil || n > 0 {
			return nil, errors.Join(err, errUnderWay)
		}
		if n, err := history.Collection("schedules").CountDocuments(ctx, bson.D{{Key: "open.queued", Value: bson.D{{Key: "$exists", Value: false}}}, {Key: "open.0", Value: bson.D{{Key: "$exists", Value: true}}}}); err != nil || n > 0 {
			return nil, errors.Join(err, errUnderWay)
		}
		for _, coll := range []*mongo.Collection{history.Collection("runs"), history.Collection("schedules"), history.Collection("occurrences"), b.db.Collection("tally")} {
			n, err := shiftAll(ctx, coll, -by)
			if err != nil {
				return nil, err
			}
			if coll.Name() == "occurrences" {
				slots = n
			}
		}
		return nil, nil
	}
	for end := time.Now().Add(patience); ; {
		_, err := session.WithTransaction(t.Context(), all)
		if err == nil {
			return slots
		}
		if !errors.Is(err, errUnderWay) || time.Now().After(end) {
			t.Fatal("set the clock:", err)
		}
	}
}

// shiftAll moves all times in a collection.
func shiftAll(ctx context.Context, coll *mongo.Collection, by time.Duration) (int, error) {
	cur, err := coll.Find(ctx, bson.D{})
	if err != nil {
		return 0, err
	}
	var docs []any
	for cur.Next(ctx) {
		var doc bson.D
		if err := cur.Decode(&doc); err != nil {
			return 0, errors.Join(err, cur.Close(ctx))
		}
		docs = append(docs, shifted(doc, by))
	}
	if err := errors.Join(cur.Err(), cur.Close(ctx)); err != nil || len(docs) == 0 {
		return 0, err
	}
	if _, err := coll.DeleteMany(ctx, bson.D{}); err != nil {
		return 0, err
	}
	_, err = coll.InsertMany(ctx, docs)
	return len(docs), err
}

// slotForm is how an occurrence's ID has the time of its slot.
const slotForm = "2006-01-02T15:04:05.000Z"

// shifted is a value whose times, and the names of slots in a tally, are another.
func shifted(value any, by time.Duration) any {
	switch v := value.(type) {
	case bson.D:
		moved := make(bson.D, len(v))
		for i, e := range v {
			moved[i] = bson.E{Key: e.Key, Value: shifted(e.Value, by)}
		}
		return moved
	case bson.A:
		moved := make(bson.A, len(v))
		for i, e := range v {
			moved[i] = shifted(e, by)
		}
		return moved
	case bson.DateTime:
		return bson.NewDateTimeFromTime(v.Time().Add(by))
	case string: // the name of a slot
		name, text, _ := strings.Cut(v, "@")
		if at, err := time.Parse(slotForm, text); err == nil {
			return name + "@" + at.Add(by).Format(slotForm)
		}
		if at, err := strconv.ParseInt(text, 10, 64); err == nil {
			return name + "@" + strconv.FormatInt(at+by.Milliseconds(), 10)
		}
	}
	return value
}
