//go:build unix

package rikki_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
)

// stallAfter is how long a script may have runs that wait and end none: a dead owner's lease and its successor's, several times.
const stallAfter = 10 * chaosTTL

// standing is how the queue of one script stands, on the server's clock.
type standing struct {
	Script string `bson:"_id"`
	Ended  int    `bson:"ended"`
	Ready  int    `bson:"ready"`  // may be taken now
	Owned  int    `bson:"owned"`  // have an owner with a lease
	Dead   int    `bson:"dead"`   // have a slot, and a lease that nobody has renewed or swept for a whole lease
	Lost   int    `bson:"lost"`   // rest, and nobody may take them
	Passed int    `bson:"passed"` // began in the last while, though the one that waits longest comes before them

	First time.Time `bson:"first"` // since when the next one waits
	Last  time.Time `bson:"last"`  // end
	Now   time.Time `bson:"now"`
}

func (s standing) open() int { return s.Ready + s.Owned + s.Dead + s.Lost }

// verdict says why runs of a script don't end, from how it and all others stand.
func (s standing) verdict(all []standing) string {
	busy := 0
	for _, other := range all {
		if other.Script != s.Script && other.Now.Sub(other.Last) < stallAfter {
			busy += other.Owned
		}
	}
	switch {
	case s.Dead > 0:
		return fmt.Sprintf("a slot stays occupied: %d runs keep theirs, and their owners' leases have long expired", s.Dead)
	case s.Owned > 0:
		return fmt.Sprintf("%d runs have living owners that bring them to no end", s.Owned)
	case s.Ready == 0:
		return fmt.Sprintf("given up: %d runs rest, and nobody may take them", s.Lost)
	case s.Passed > 0:
		return fmt.Sprintf("starved: %d runs that come later in the queue began since the next one waits", s.Passed)
	case busy > 0:
		return fmt.Sprintf("overload, or starved by other scripts: they have %d workers", busy)
	default:
		return "a lost wake-up: runs are ready, slots free and workers idle, and nobody takes them"
	}
}

func standings(t *testing.T, history *mongo.Database) (all []standing) {
	t.Helper()
	op := func(name string, args ...any) bson.D { return bson.D{{Key: name, Value: bson.A(args)}} }
	ago := func(d time.Duration) bson.D { return op("$subtract", "$$NOW", d.Milliseconds()) }
	count := func(c any) bson.D { return bson.D{{Key: "$sum", Value: op("$cond", c, 1, 0)}} }
	ready := op("$and", op("$eq", "$ready", true), op("$lte", "$due_at", "$$NOW"))
	held := op("$gt", "$slot", nil)
	dead := op("$lt", "$lease.expires", ago(chaosTTL))
	final := op("$in", "$state", bson.A{rikki.Succeeded, rikki.SucceededWithErrors, rikki.Failed, rikki.Cancelled})
	cur, err := history.Collection("runs").Aggregate(t.Context(), bson.A{
		bson.D{{Key: "$sort", Value: bson.D{{Key: "priority", Value: -1}, {Key: "due_at", Value: 1}}}},
		bson.D{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$script"},
			{Key: "ended", Value: count(op("$and", final, op("$not", held)))},
			{Key: "ready", Value: count(ready)},
			{Key: "owned", Value: count(op("$and", held, op("$not", dead)))},
			{Key: "dead", Value: count(op("$and", held, dead))},
			{Key: "lost", Value: count(op("$not", op("$or", final, held, op("$eq", "$ready", true))))},
			{Key: "last", Value: bson.D{{Key: "$max", Value: op("$cond", final, "$ended_at", nil)}}},
			{Key: "now", Value: bson.D{{Key: "$max", Value: "$$NOW"}}},
			// What waits, since when, and what began, in the order of the queue.
			{Key: "queue", Value: bson.D{{Key: "$push", Value: bson.D{
				{Key: "since", Value: op("$cond", ready, op("$max", "$due_at", "$ended_at"), nil)},
				{Key: "began", Value: "$started_at"},
			}}}},
		}}},
		bson.D{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Of    standing `bson:",inline"`
		Queue []struct {
			Since time.Time `bson:"since"`
			Began time.Time `bson:"began"`
		} `bson:"queue"`
	}
	if err := cur.All(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		for _, run := range r.Queue {
			switch {
			case r.Of.First.IsZero():
				r.Of.First = run.Since
			case run.Began.After(r.Of.First):
				r.Of.Passed++
			}
		}
		all = append(all, r.Of)
	}
	return all
}

// settle waits until no run is left. However many there are, each script that has some must end one every now and then; if not,
// it says what keeps them.
func settle(t *testing.T, app *rikki.App, history *mongo.Database, began time.Time) {
	t.Helper()
	resumed := 0
	fed := time.Since(began)
	first := standings(t, history)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		all := standings(t, history)
		left := 0
		for _, s := range all {
			if s.Script == "slotted" {
				continue // it is fed until it is judged
			}
			left += s.open()
			if s.Lost > 0 {
				resumed += resume(t, app, history, s.Script)
			}
			quiet := min(s.Now.Sub(s.Last), time.Since(start))
			if s.open() > 0 && quiet > stallAfter {
				t.Fatalf("no run of %s has ended for %s, and %d are open: %s\n%s%s", s.Script, quiet.Round(time.Second), s.open(), s.verdict(all), text(all), open(t, history, s.Script))
			}
		}
		if left == 0 {
			report(t, first, all, fed, time.Since(start))
			t.Logf("%d runs had lost five owners before their first checkpoint, and were resumed by hand", resumed)
			return
		}
	}
}

// resume does what a person would: a run that lost five owners without a checkpoint is not taken over by itself any more. On a busy
// machine that happens here.
func resume(t *testing.T, app *rikki.App, history *mongo.Database, script string) (n int) {
	t.Helper()
	cur, err := history.Collection("runs").Find(t.Context(), bson.D{
		{Key: "script", Value: script},
		{Key: "state", Value: rikki.Interrupted},
		{Key: "ready", Value: bson.D{{Key: "$ne", Value: true}}},
		{Key: "lapses", Value: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		ID string `bson:"_id"`
	}
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		if _, err := app.Resume(t.Context(), doc.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	return len(docs)
}

// report says how fast runs were queued and ended.
func report(t *testing.T, first, last []standing, fed, drained time.Duration) {
	t.Helper()
	for i, s := range last {
		if i < len(first) && first[i].Script == s.Script && s.Script != "slotted" {
			b := first[i]
			t.Logf("%-6s %4d queued, %.1f/s; ended %.1f/s under faults, then %.1f/s of the %d left", s.Script, s.Ended,
				float64(s.Ended)/fed.Seconds(), float64(b.Ended)/fed.Seconds(), float64(s.Ended-b.Ended)/drained.Seconds(), b.open())
		}
	}
	t.Logf("drained in %.1f s", drained.Seconds())
}

// open shows some of a script's runs that have not ended.
func open(t *testing.T, history *mongo.Database, script string) string {
	t.Helper()
	cur, err := history.Collection("runs").Find(t.Context(), bson.D{
		{Key: "script", Value: script}, {Key: "state", Value: bson.D{{Key: "$in", Value: bson.A{rikki.Queued, rikki.Running, rikki.Pausing, rikki.Paused, rikki.Interrupted}}}},
	}, options.Find().SetLimit(5).SetProjection(bson.D{{Key: "input", Value: 0}, {Key: "search", Value: 0}, {Key: "source", Value: 0}}))
	if err != nil {
		return err.Error()
	}
	var docs []bson.D
	if err := cur.All(t.Context(), &docs); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, doc := range docs {
		fmt.Fprintln(&b, doc)
	}
	return b.String()
}

func text(all []standing) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s: %d ended, the last %s ago; %d ready, the next for %s, passed by %d; %d owned, %d of dead owners, %d rest\n", s.Script, s.Ended,
			s.Now.Sub(s.Last), s.Ready, s.Now.Sub(s.First), s.Passed, s.Owned, s.Dead, s.Lost)
	}
	return b.String()
}

// Each of the reasons is told from the others.
func TestTheVerdictSaysWhyRunsDontEnd(t *testing.T) {
	t.Parallel()
	const long, soon = -time.Minute, time.Minute
	// Durations stand for times so far from now, which is when the documents are written.
	lease := func(expires time.Duration) bson.E {
		return bson.E{Key: "lease", Value: bson.D{{Key: "expires", Value: expires}}}
	}
	run := func(script string, state rikki.State, more ...bson.E) bson.D {
		return append(bson.D{{Key: "script", Value: script}, {Key: "state", Value: state}}, more...)
	}
	waits := run("a", rikki.Queued, bson.E{Key: "ready", Value: true}, bson.E{Key: "due_at", Value: long}, bson.E{Key: "priority", Value: 1})
	begins := func(script string, at, expires time.Duration) bson.D {
		return run(script, rikki.Running, bson.E{Key: "slot", Value: script + "/0"}, bson.E{Key: "due_at", Value: at}, bson.E{Key: "started_at", Value: at}, lease(expires))
	}
	ended := func(script string, at time.Duration) bson.D {
		return run(script, rikki.Succeeded, bson.E{Key: "started_at", Value: at}, bson.E{Key: "ended_at", Value: at}, bson.E{Key: "due_at", Value: at})
	}
	for want, docs := range map[string][]bson.D{
		"a slot stays occupied": {waits, begins("a", long, long)},
		"1 runs have living":    {waits, begins("a", long, soon)},
		"given up":              {run("a", rikki.Interrupted)},
		"starved: 1":            {waits, ended("a", -80*time.Second), ended("a", -stallAfter)},
		"overload":              {waits, begins("b", 0, soon), ended("b", 0)},
		"a lost wake-up":        {waits, ended("a", -2*time.Minute)},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			dated := make([]any, len(docs))
			for i, doc := range docs {
				dated[i] = at(time.Now(), doc)
			}
			if _, err := db.Collection("runs").InsertMany(t.Context(), dated); err != nil {
				t.Fatal(err)
			}
			all := standings(t, db)
			if got := all[0].verdict(all); !strings.HasPrefix(got, want) {
				t.Errorf("%s\n%s", got, text(all))
			}
		})
	}
}

// at is a document with times in place of how far they are from now.
func at(now time.Time, doc bson.D) bson.D {
	out := bson.D{}
	for _, e := range doc {
		switch v := e.Value.(type) {
		case time.Duration:
			e.Value = now.Add(v)
		case bson.D:
			e.Value = at(now, v)
		}
		out = append(out, e)
	}
	return out
}
