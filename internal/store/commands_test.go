package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/mongotest"
)

// What the store sends to the server, seen by a command monitor. The client's own settings are weak: w:1.

func TestStartIsOneCommand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, rec := b.record(t, "one-command")

	// The first start ever has to build the indexes; that shows that the recorder works.
	first, err := s.Start(t.Context(), newRun())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"findAndModify", "createIndexes", "createIndexes", "createIndexes", "findAndModify"}
	if diff := cmp.Diff(want, names(rec.take())); diff != "" {
		t.Errorf("first start ever (-want +got):\n%s", diff)
	}
	if _, err := s.Finish(t.Context(), first.ID, 1, Finish{State: Succeeded}); err != nil {
		t.Fatal(err)
	}
	rec.take()

	n := newRun()
	n.Concurrency = 3
	if _, err := s.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	cmds := rec.take()
	if diff := cmp.Diff([]string{"findAndModify"}, names(cmds)); diff != "" {
		t.Errorf("normal start (-want +got):\n%s", diff)
	}
	if got := cmds[0].Lookup("comment").StringValue(); got != n.ID {
		t.Errorf("comment: got %q, want the run's id", got)
	}
}

// use calls everything that talks to the server, on a database that has nothing yet.
func use(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n := newRun()
	_, err := s.Start(ctx, n)
	check(err)
	_, err = s.Beat(ctx, n.ID, 1, Beat{TTL: time.Minute, Progress: &Progress{Done: 1}, Counters: map[string]int64{"n": 1}})
	check(err)
	_, err = s.Move(ctx, n.ID, 1, Cancelling)
	check(err)
	_, err = s.Sweep(ctx)
	check(err)
	_, err = s.Finish(ctx, n.ID, 1, Finish{State: Failed, Stuck: true})
	check(err)
	_, err = s.Finish(ctx, n.ID, 1, Finish{State: Failed}) // looks why it can't
	check(err)
	check(s.Release(ctx, n.ID, 1))
	logs := make([]Log, 2*pageSize)
	for i := range logs {
		logs[i].Seq = int64(i + 1)
	}
	check(s.AppendLogs(ctx, n.ID, logs))
	for _, err := range s.Logs(ctx, n.ID, LogFilter{}) {
		check(err)
	}
	for _, err := range s.Logs(ctx, n.ID, LogFilter{Tail: 300}) {
		check(err)
	}
	queued := newRun()
	queued.ID, queued.Resumable, queued.Input = NewID(), true, `{"batch-size":500}`
	_, err = s.Enqueue(ctx, queued)
	check(err)
	taken, err := s.Claim(ctx, newClaim(), 2)
	check(err)
	if len(taken) != 1 || taken[0].ID != queued.ID {
		t.Fatalf("claimed %v, want run %s", taken, queued.ID)
	}
	_, err = s.Look(ctx, queued.ID, 1)
	check(err)
	_, err = s.Checkpoint(ctx, queued.ID, 1, Checkpoint{Value: mustEncode(t, 5)})
	check(err)
	_, err = s.Control(ctx, queued.ID, Request{Action: Pause, Actor: "mira"})
	check(err)
	_, err = s.Finish(ctx, queued.ID, 1, Finish{State: Paused})
	check(err)
	_, err = s.Control(ctx, queued.ID, Request{Action: Resume, Actor: "mira"})
	check(err)
	_, err = s.Take(ctx, queued.ID, 1, newClaim().Taker, false)
	check(err)
	_, err = s.Control(ctx, queued.ID, Request{Action: Cancel, Actor: "mira"})
	check(err)
	_, err = s.Finish(ctx, queued.ID, 3, Finish{State: Cancelled})
	check(err)
	if entries, err := s.Entries(ctx, queued.ID); err != nil || len(entries) != 3 {
		t.Fatalf("audit: got %v, %v, want three entries", entries, err)
	}
	useSchedules(t, s)
	_, err = s.Run(ctx, n.ID)
	check(err)
	_, err = s.Latest(ctx, n.Script)
	check(err)
	for _, err := range s.Runs(ctx, Filter{States: []State{Failed}, Before: n.ID}) {
		check(err)
	}
}

func TestEveryCommandIsMajority(t *testing.T) {
	t.Parallel()
	s, rec := setup(t).record(t, "majority")
	use(t, s)
	seen := map[string]int{}
	for _, cmd := range rec.take() {
		name := commandName(cmd)
		seen[name]++
		switch name {
		case "findAndModify", "update", "insert", "delete", "createIndexes":
			if w, ok := cmd.Lookup("writeConcern", "w").StringValueOK(); !ok || w != "majority" {
				t.Errorf("%s has write concern %s", name, cmd.Lookup("writeConcern"))
			}
		case "find", "aggregate":
			if level, ok := cmd.Lookup("readConcern", "level").StringValueOK(); !ok || level != "majority" {
				t.Errorf("%s has read concern %s", name, cmd.Lookup("readConcern"))
			}
		case "endSessions":
		default: // getMore and killCursors among them: no query here may need a second command
			t.Errorf("an unexpected command: %s", name)
		}
	}
	for _, name := range []string{"findAndModify", "update", "insert", "createIndexes", "find", "aggregate"} {
		if seen[name] == 0 {
			t.Errorf("no %s was seen; this test would miss a weak one", name)
		}
	}
}

// Negative control for the test above: the client that it uses would write with w:1.
func TestClientOfTheMajorityTestIsWeak(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, rec := b.record(t, "weak")
	if _, err := s.db.Client().Database(b.db.Name()).Collection("x").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if w := rec.take()[0].Lookup("writeConcern", "w"); w.Type != bson.TypeInt32 {
		t.Errorf("write concern: got %s, want 1", w)
	}
}

func TestIndexesAreWhatTheServerHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 { // again is fine
		if err := errors.Join(openNotifications(t, b), b.EnsureIndexes(t.Context()), b.EnsureScheduleIndexes(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	type index struct {
		Name    string `bson:"name"`
		Key     bson.D `bson:"key"`
		Unique  bool   `bson:"unique"`
		Partial bson.D `bson:"partialFilterExpression"`
	}
	got, want := map[string][]index{}, map[string][]index{}
	for _, ix := range Indexes() {
		if ix.Why == "" {
			t.Errorf("index %s has no reason", ix.Name)
		}
		if want[ix.Collection] == nil {
			want[ix.Collection] = []index{{Name: "_id_", Key: bson.D{{Key: "_id", Value: int32(1)}}}}
		}
		keys := bson.D{}
		for _, k := range ix.Keys {
			order, ok := k.Value.(int)
			if !ok {
				t.Fatalf("index %s: odd key %v", ix.Name, k)
			}
			keys = append(keys, bson.E{Key: k.Key, Value: int32(order)})
		}
		want[ix.Collection] = append(want[ix.Collection], index{ix.Name, keys, ix.Unique, ix.Partial})
	}
	for coll := range want {
		cur, err := b.db.Collection(coll).Indexes().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var have []index
		if err := cur.All(t.Context(), &have); err != nil {
			t.Fatal(err)
		}
		got[coll] = have
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	all := Indexes()
	if n := len(all); all[n-2].Name != slotIndex || all[n-1].Name != queueIndex {
		t.Errorf("the last indexes are %s and %s; starts trust that the slot's is the last but the queue's", all[n-2].Name, all[n-1].Name)
	}
}

// No query walks a whole collection: each command that was sent is explained by the server.
func TestNoQueryScansACollection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, rec := b.record(t, "explain")
	use(t, s)
	work := rec.take()
	// Lists come out of an index in their order: nothing is sorted, however many runs there are.
	if _, err := s.Latest(t.Context(), "lowercase-emails"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Filter{{Script: "lowercase-emails"}, {Since: longAgo()}} {
		for _, err := range s.Runs(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	lists := rec.take()
	explained := 0
	for i, cmd := range slices.Concat(work, lists) {
		name := commandName(cmd)
		if name == "insert" || name == "createIndexes" {
			continue
		}
		plain := bson.D{}
		elements, err := cmd.Elements()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range elements {
			switch e.Key() {
			case "lsid", "$db", "$clusterTime", "txnNumber", "writeConcern", "readConcern", "comment":
			default:
				plain = append(plain, bson.E{Key: e.Key(), Value: e.Value()})
			}
		}
		plan, err := b.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: plain}, {Key: "verbosity", Value: "queryPlanner"}}).Raw()
		if err != nil {
			t.Fatalf("explain %s: %v", name, err)
		}
		explained++
		if text := plan.String(); strings.Contains(text, `"COLLSCAN"`) || !strings.Contains(text, `"IXSCAN"`) && !strings.Contains(text, `"IDHACK"`) {
			t.Errorf("%s uses no index:\n%s\n%s", name, cmd, plan)
		} else if i >= len(work) && strings.Contains(text, `"SORT"`) {
			t.Errorf("a list is sorted in memory:\n%s\n%s", cmd, plan)
		}
	}
	if explained < 10 {
		t.Errorf("only %d commands were explained", explained)
	}
	// Negative control: a query that no index serves is recognised.
	plan, err := b.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: bson.D{
		{Key: "find", Value: collRuns}, {Key: "filter", Value: bson.D{{Key: "actor", Value: "mira"}}},
	}}}).Raw()
	if err != nil || !strings.Contains(plan.String(), `"COLLSCAN"`) {
		t.Errorf("a collection scan looks like this: %s, %v", plan, err)
	}
}

// The answer to a start is lost after the server has applied it: the driver asks again, and there is one run, ours.
func TestALostAnswerLeavesOneRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	const app = "lost-answer"
	s, rec := b.record(t, app)
	server := mongotest.Server(t)
	fail := func(fault ...bson.E) {
		t.Helper()
		data := append(bson.D{{Key: "failCommands", Value: bson.A{"findAndModify"}}, {Key: "appName", Value: app}}, fault...)
		err := server.FailPoint(t.Context(), bson.D{
			{Key: "configureFailPoint", Value: "failCommand"},
			{Key: "mode", Value: bson.D{{Key: "times", Value: 1}}},
			{Key: "data", Value: data},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	unknown := []bson.E{
		{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 91}, {Key: "errmsg", Value: "shutting down"}}},
		{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}},
	}
	twice := func(what string) {
		t.Helper()
		if diff := cmp.Diff([]string{"findAndModify", "findAndModify"}, names(rec.take())); diff != "" {
			t.Errorf("%s: the fault did not happen, or was not answered by one retry (-want +got):\n%s", what, diff)
		}
	}

	fail(unknown...)
	n := newRun()
	run, err := s.Start(t.Context(), n)
	if err != nil || run.ID != n.ID {
		t.Fatalf("start: got %q, %v", run.ID, err)
	}
	twice("start")

	fail(bson.E{Key: "closeConnection", Value: true})
	if _, err := s.Beat(t.Context(), n.ID, 1, Beat{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	twice("beat")

	fail(unknown...)
	ended, err := s.Finish(t.Context(), n.ID, 1, Finish{State: Succeeded, Result: 1})
	if err != nil || ended.State != Succeeded {
		t.Fatalf("finish: got %s, %v", ended.State, err)
	}
	twice("finish")
	if got := b.count(t); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
}

func TestACancelledContextEndsEveryCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := b.start(t, newRun())
	before := b.stored(t, run.ID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, startErr := b.Start(ctx, newRun())
	_, beatErr := b.Beat(ctx, run.ID, 1, Beat{TTL: time.Minute})
	_, finishErr := b.Finish(ctx, run.ID, 1, Finish{State: Failed})
	_, sweepErr := b.Sweep(ctx)
	_, runErr := b.Run(ctx, run.ID)
	logsErr := b.AppendLogs(ctx, run.ID, []Log{{Seq: 1}})
	for i, err := range []error{startErr, beatErr, finishErr, sweepErr, runErr, logsErr} {
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("call %d: got %v, want %v", i, err, ctx.Err())
		}
		if errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrNotFound) {
			t.Errorf("call %d: a cancelled question is no answer: %v", i, err)
		}
	}
	if diff := cmp.Diff(before.String(), b.stored(t, run.ID).String()); diff != "" {
		t.Errorf("the run was changed (-before +after):\n%s", diff)
	}
}
