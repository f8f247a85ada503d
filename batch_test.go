package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/rikkitest"
)

// worker is a script whose work is a function of the test's.
type worker struct {
	Text  string        `default:"none"`
	Limit int           `default:"1" min:"1"`
	Token params.Secret `env:"WORKER_TOKEN"`

	opts rikki.Options
	do   func(ctx context.Context, run *rikki.Run, w *worker) (any, error)
}

func (w *worker) Options() rikki.Options { return w.opts }

func (w *worker) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	if w.do == nil {
		return w.Text, nil
	}
	return w.do(ctx, run, w)
}

func working(name string, do func(ctx context.Context, run *rikki.Run, w *worker) (any, error)) *worker {
	return &worker{opts: rikki.Options{Name: name, Concurrency: -1}, do: do}
}

// story is how the steps of a batch ended, one line each.
func story(result *rikki.BatchResult) []string {
	if result == nil {
		return nil
	}
	var lines []string
	for _, step := range result.Steps {
		switch {
		case step.Skipped != "":
			lines = append(lines, step.Step+" skipped: "+step.Skipped)
		case step.Earlier:
			lines = append(lines, step.Step+" "+string(step.State)+" earlier")
		default:
			lines = append(lines, step.Step+" "+string(step.State))
		}
	}
	return lines
}

func wantStory(t *testing.T, result *rikki.BatchResult, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, story(result)); diff != "" {
		t.Errorf("steps:\n%s", diff)
	}
}

func fails(context.Context, *rikki.Run, *worker) (any, error) { return nil, errors.New("no luck") }

func TestBatchRunsStepsAfterWhatTheyNeed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	note := func(_ context.Context, _ *rikki.Run, w *worker) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, w.Text)
		return w.Text, nil
	}
	app := rikkitest.App(t, rikkitest.DB(t), working("note", note), working("other", note))
	events := make(map[string]string)
	result, err := app.Batch(t.Context(), rikki.Batch{Name: "nightly", Steps: []rikki.Step{
		{Name: "last", Script: "note", Params: map[string]any{"text": "3"}, After: []string{"note", "other"}},
		{Script: "other", Params: &worker{Text: "2"}, After: []string{"note"}},
		{Script: "note", Params: map[string]any{"text": "1"}},
	}}, &rikki.RunOptions{Actor: "mira", Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Type == rikki.EventResult {
			events[e.Step] = e.Script
		}
	})}})
	if err != nil {
		t.Fatal(err)
	}
	wantStory(t, result, "last succeeded", "other succeeded", "note succeeded")
	if diff := cmp.Diff([]string{"1", "2", "3"}, order); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"": "batch", "last": "note", "other": "other", "note": "note"}, events); diff != "" {
		t.Errorf("events:\n%s", diff)
	}
	own, err := app.Record(t.Context(), result.Run)
	if err != nil || own.Script != "batch" || own.State != rikki.Succeeded || own.Actor != "mira" || own.Progress.Done != 3 ||
		!strings.Contains(string(own.Result), result.Steps[0].Run) || !strings.Contains(string(own.Params), `"nightly"`) {
		t.Errorf("record %+v, %v", own, err)
	}
	for _, step := range result.Steps {
		record, err := app.Record(t.Context(), step.Run)
		if err != nil || record.Parent != result.Run || record.Step != step.Step || record.Trigger != "batch" || record.Actor != "mira" {
			t.Errorf("step %s: record %+v, %v", step.Step, record, err)
		}
	}
}

// TestBatchConcurrencyIsLimitedOnTheServer counts in a document what is under way.
func TestBatchConcurrencyIsLimitedOnTheServer(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	count := db.Collection("count")
	type counter struct {
		Active int `bson:"active"`
		Most   int `bson:"most"`
	}
	add := func(ctx context.Context, n int) (counter, error) {
		var c counter
		active := bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$active", 0}}}, n}}}
		err := count.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: 1}}, bson.A{
			bson.D{{Key: "$set", Value: bson.D{{Key: "active", Value: active}}}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "most", Value: bson.D{{Key: "$max", Value: bson.A{"$most", "$active"}}}}}}},
		}, options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&c)
		return c, err
	}
	work := func(ctx context.Context, _ *rikki.Run, _ *worker) (any, error) {
		c, err := add(ctx, 1)
		// Stay until there have been two at a time, so that a batch that is too slow doesn't pass.
		for err == nil && c.Most < 2 {
			err = count.FindOne(ctx, bson.D{{Key: "_id", Value: 1}}).Decode(&c)
		}
		if err != nil {
			return nil, err
		}
		_, err = add(ctx, -1)
		return nil, err
	}
	app := rikkitest.App(t, db, working("work", work))
	steps := make([]rikki.Step, 12)
	for i := range steps {
		steps[i] = rikki.Step{Script: "work", Timeout: 20 * time.Second}
	}
	result, err := app.Batch(t.Context(), rikki.Batch{Steps: steps, Concurrency: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if names := story(result); names[0] != "work succeeded" || names[1] != "work-2 succeeded" || names[11] != "work-12 succeeded" {
		t.Errorf("steps %v", names)
	}
	var c counter
	if err := count.FindOne(t.Context(), bson.D{{Key: "_id", Value: 1}}).Decode(&c); err != nil || c.Most != 2 || c.Active != 0 {
		t.Errorf("counter %+v, %v; want at most 2 at a time", c, err)
	}
}

func TestBatchKeepsToTheConcurrencyOfEachScript(t *testing.T) {
	t.Parallel()
	var active, most atomic.Int64
	both := make(chan struct{})
	single := &worker{opts: rikki.Options{Name: "single"}, do: func(context.Context, *rikki.Run, *worker) (any, error) {
		most.Store(max(most.Load(), active.Add(1)))
		defer active.Add(-1)
		<-both
		return nil, nil
	}}
	other := working("other", func(context.Context, *rikki.Run, *worker) (any, error) {
		close(both)
		return nil, nil
	})
	app := rikkitest.App(t, rikkitest.DB(t), single, other)
	result, err := app.Batch(t.Context(), rikki.Batch{Concurrency: 4, Steps: []rikki.Step{
		{Script: "single"}, {Script: "single"}, {Script: "single"}, {Script: "other"},
	}}, nil)
	if err != nil || most.Load() != 1 {
		t.Errorf("%d at a time; %v, %v", most.Load(), story(result), err)
	}
}

func TestBatchWithAFailure(t *testing.T) {
	t.Parallel()
	app := rikkitest.App(t, rikkitest.DB(t), working("good", nil), working("bad", fails))
	steps := []rikki.Step{
		{Script: "bad"},
		{Name: "needs-bad", Script: "good", After: []string{"bad"}},
		{Name: "further", Script: "good", After: []string{"needs-bad"}},
		{Script: "good"},
	}
	for name, tt := range map[string]struct {
		keepGoing bool
		want      []string
	}{
		"StopsByDefault": {false, []string{
			"bad failed", "needs-bad skipped: needs bad, which failed", "further skipped: needs needs-bad, which was skipped",
			"good skipped: bad failed before it",
		}},
		"KeepsGoing": {true, []string{
			"bad failed", "needs-bad skipped: needs bad, which failed", "further skipped: needs needs-bad, which was skipped", "good succeeded",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := app.Batch(t.Context(), rikki.Batch{Steps: steps, KeepGoing: tt.keepGoing}, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "bad failed; ") || result.State != rikki.Failed {
				t.Fatalf("got %+v, %v", result, err)
			}
			wantStory(t, result, tt.want...)
			if f := result.Steps[0].Failure; f == nil || f.Message != "no luck" {
				t.Errorf("failure %+v", f)
			}
		})
	}
}

// TestBatchNeighbourKeepsItsConnection lets one step fail in every way while
// another works: on the same client, without a single error.
func TestBatchNeighbourKeepsItsConnection(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	if _, err := db.Collection("docs").InsertOne(t.Context(), bson.D{{Key: "x", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	failed := make(chan struct{}, 3)
	clients := make(chan *mongo.Client, 4)
	spin := func(ctx context.Context, run *rikki.Run) error {
		return run.DB().Collection("docs").FindOne(ctx, bson.D{{Key: "$where", Value: "while (true) {}"}}).Err()
	}
	app := rikkitest.App(t, db,
		working("error", func(_ context.Context, run *rikki.Run, _ *worker) (any, error) {
			defer func() { failed <- struct{}{} }()
			clients <- run.Client()
			return nil, errors.New("no luck")
		}),
		working("panic", func(_ context.Context, run *rikki.Run, _ *worker) (any, error) {
			defer func() { failed <- struct{}{} }()
			clients <- run.Client()
			panic("oh no")
		}),
		working("timeout", func(ctx context.Context, run *rikki.Run, _ *worker) (any, error) {
			defer func() { failed <- struct{}{} }()
			clients <- run.Client()
			return nil, spin(ctx, run)
		}),
		working("neighbour", func(ctx context.Context, run *rikki.Run, _ *worker) (any, error) {
			clients <- run.Client()
			find := func() error { return run.DB().Collection("docs").FindOne(ctx, bson.D{{Key: "x", Value: 1}}).Err() }
			for left := 3; left > 0; {
				select {
				case <-failed:
					left--
				default:
				}
				if err := find(); err != nil {
					return nil, err
				}
			}
			for range 50 { // also after all that
				if err := find(); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}),
	)
	result, err := app.Batch(t.Context(), rikki.Batch{Concurrency: 4, Steps: []rikki.Step{
		{Script: "neighbour"}, {Script: "error"}, {Script: "panic"}, {Script: "timeout", Timeout: 300 * time.Millisecond},
	}}, nil)
	if err == nil {
		t.Error("no error")
	}
	wantStory(t, result, "neighbour succeeded", "error failed", "panic failed", "timeout failed")
	first := <-clients
	for range 3 {
		if other := <-clients; other != first {
			t.Error("the steps don't share a client")
		}
	}
}

func TestBatchThatIsInterruptedGoesOnAsTheSameRun(t *testing.T) {
	t.Parallel()
	db, history := rikkitest.DB(t), mongotest.Name(t)
	var runs sync.Map // how often each step ran
	ran := func(w *worker) int64 {
		n, _ := runs.LoadOrStore(w.Text, new(atomic.Int64))
		return n.(*atomic.Int64).Add(1) //nolint:forcetypeassert // see above
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	app := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: history,
	}).MustAdd(
		working("good", func(_ context.Context, _ *rikki.Run, w *worker) (any, error) { return ran(w), nil }),
		working("slow", func(ctx context.Context, run *rikki.Run, w *worker) (any, error) {
			if ran(w) == 1 {
				cancel(rikki.ErrInterrupted)
				return waitForEnd(ctx, run)
			}
			return nil, nil
		}),
		&steps{opts: rikki.Options{Concurrency: -1}, at: func(ctx context.Context, run *rikki.Run, step int) error {
			if step == 1 && run.Attempt() == 1 {
				_, err := waitForEnd(ctx, run)
				return err
			}
			return nil
		}},
	)
	t.Cleanup(func() {
		closeApp(t, app)
		if err := db.Client().Database(history).Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	text := func(text string) map[string]any { return map[string]any{"text": text} }
	result, err := app.Batch(ctx, rikki.Batch{Concurrency: 2, Steps: []rikki.Step{
		{Name: "one", Script: "good", Params: text("one")},
		{Name: "steps", Script: "steps", After: []string{"one"}},
		{Name: "two", Script: "slow", Params: text("two"), After: []string{"one"}},
		{Name: "three", Script: "good", Params: text("three"), After: []string{"two"}},
	}}, nil)
	if !errors.Is(err, rikki.ErrInterrupted) || result.State != rikki.Interrupted || !result.Stopped {
		t.Fatalf("got %+v, %v", result, err)
	}
	wantStory(t, result, "one succeeded", "steps interrupted", "two interrupted", "three skipped: needs two, which was interrupted")
	if _, err := app.ResumeBatch(t.Context(), result.Steps[0].Run, nil); !errors.Is(err, rikki.ErrState) {
		t.Errorf("a run that is no batch: %v", err)
	}
	// A process that is killed leaves the records of the steps, and perhaps no checkpoint.
	coll := db.Client().Database(history).Collection("runs")
	if _, err := coll.UpdateByID(t.Context(), result.Run, bson.D{{Key: "$unset", Value: bson.D{{Key: "checkpoint", Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	again, err := app.ResumeBatch(t.Context(), result.Run, nil)
	if err != nil || again.Run != result.Run || again.State != rikki.Succeeded {
		t.Fatalf("got %+v, %v", again, err)
	}
	wantStory(t, again, "one succeeded earlier", "steps succeeded", "two succeeded", "three succeeded")
	if again.Steps[1].Run != result.Steps[1].Run || again.Steps[1].Value != 3 {
		t.Errorf("the resumable step %+v did not go on in its run %s", again.Steps[1], result.Steps[1].Run)
	}
	counts := make(map[string]int64)
	runs.Range(func(k, v any) bool {
		counts[k.(string)] = v.(*atomic.Int64).Load() //nolint:forcetypeassert // see above
		return true
	})
	if diff := cmp.Diff(map[string]int64{"one": 1, "two": 2, "three": 1}, counts); diff != "" {
		t.Errorf("how often each step ran:\n%s", diff)
	}
	if record, err := app.Record(t.Context(), again.Run); err != nil || record.Attempt != 2 || record.Progress.Done != 4 {
		t.Errorf("record %+v, %v", record, err)
	}
	if _, err := app.ResumeBatch(t.Context(), again.Run, nil); !errors.Is(err, rikki.ErrState) || !strings.Contains(err.Error(), "nothing is left") {
		t.Errorf("a batch that is done: %v", err)
	}
}

func TestBatchThatFailedIsResumedByANewRun(t *testing.T) {
	t.Parallel()
	var luck atomic.Bool
	var ran atomic.Int64
	app := rikkitest.App(t, rikkitest.DB(t),
		working("good", func(context.Context, *rikki.Run, *worker) (any, error) { return ran.Add(1), nil }),
		working("moody", func(context.Context, *rikki.Run, *worker) (any, error) {
			if luck.Load() {
				return nil, nil
			}
			return nil, errors.New("no luck")
		}),
	)
	first, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{
		{Script: "good"}, {Script: "moody"}, {Name: "end", Script: "good", After: []string{"moody"}},
	}}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	// Once more in vain: what succeeded in the first batch stays known through the second.
	second, err := app.ResumeBatch(t.Context(), first.Run, nil)
	if err == nil {
		t.Fatal("no error")
	}
	wantStory(t, second, "good succeeded earlier", "moody failed", "end skipped: needs moody, which failed")
	luck.Store(true)
	third, err := app.ResumeBatch(t.Context(), second.Run, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStory(t, third, "good succeeded earlier", "moody succeeded", "end succeeded")
	if third.Steps[0].Run != first.Steps[0].Run || ran.Load() != 2 {
		t.Errorf("good ran %d times, %+v", ran.Load(), third.Steps[0])
	}
	if record, err := app.Record(t.Context(), third.Run); err != nil || record.Parent != second.Run {
		t.Errorf("record %+v, %v", record, err)
	}
}

func TestBatchFindsEveryMistakeBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	app := rikki.New(&rikki.Config{
		Conn:      conn.Config{URI: "mongodb://127.0.0.1:1/none", ServerSelectionTimeout: 50 * time.Millisecond},
		LookupEnv: func(string) (string, bool) { return "", false },
	}).MustAdd(working("good", nil), &needy{})
	for name, tt := range map[string]struct {
		batch rikki.Batch
		want  []string
	}{
		"NoSteps":       {rikki.Batch{}, []string{"steps: a batch needs at least one step"}},
		"UnknownScript": {rikki.Batch{Steps: []rikki.Step{{Script: "goood"}}}, []string{`steps[0].script: unknown script "goood"`}},
		"NoScript":      {rikki.Batch{Steps: []rikki.Step{{}}}, []string{"steps[0].script: the name of a script is missing"}},
		"Itself":        {rikki.Batch{Steps: []rikki.Step{{Script: "batch"}}}, []string{"steps[0].script: a batch can't be a step of a batch"}},
		"TwoOfOneName": {
			rikki.Batch{Steps: []rikki.Step{{Script: "good", Name: "a"}, {Script: "good", Name: "a"}}},
			[]string{"steps[1].name: steps 1 and 2 have this name: give one of them another"},
		},
		"Cycle": {
			rikki.Batch{Steps: []rikki.Step{
				{Script: "good", Name: "free"},
				{Script: "good", Name: "a", After: []string{"free", "b"}},
				{Script: "good", Name: "b", After: []string{"c"}},
				{Script: "good", Name: "c", After: []string{"a"}},
			}},
			[]string{"steps[1].after: the steps wait for each other: a → b → c → a"},
		},
		"NeedsItself": {
			rikki.Batch{Steps: []rikki.Step{{Script: "good", After: []string{"good"}}}},
			[]string{"steps[0].after: the steps wait for each other: good → good"},
		},
		"SeveralAtOnce": {
			rikki.Batch{Concurrency: -1, Steps: []rikki.Step{
				{Script: "good", Params: map[string]any{"limit": 0, "txt": 1}},
				{Script: "good", After: []string{"goood"}, Params: map[string]any{"token": "tell-nobody"}},
				{Script: "needy"},
			}},
			[]string{
				"concurrency: -1 is below 1",
				"steps[0].params.txt: unknown parameter", "steps[0].params.limit: 0 is below the minimum 1",
				"steps[1].params.token: a batch can't carry a secret: leave it out, and set WORKER_TOKEN or GOOD_TOKEN in the environment",
				"steps[2].params.key: is required",
				`steps[1].after[0]: no step is named "goood"`,
			},
		},
		"PasswordInAParameter": {
			rikki.Batch{Steps: []rikki.Step{{Script: "good", Params: map[string]any{"text": "mongodb://bob:tell-nobody@db1/x"}}}},
			[]string{"steps[0].params: a parameter contains a password, and a batch can't carry secrets: make the parameter a params.Secret, and set it in the environment"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := app.Batch(t.Context(), tt.batch, nil)
			invalid, ok := errors.AsType[*params.Error](err)
			if result != nil || !ok {
				t.Fatalf("got %+v, %v", result, err)
			}
			var got []string
			for _, p := range invalid.Problems {
				got = append(got, p.Field+": "+p.Message)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), "tell-nobody") {
				t.Error("the error tells the secret")
			}
			if app.CheckBatch(tt.batch) == nil {
				t.Error("CheckBatch finds nothing")
			}
		})
	}
	if err := rikki.New(nil).Add(working("batch", nil)); err == nil {
		t.Error("a script may be named batch")
	}
}

// needy can't do without a secret.
type needy struct {
	Key params.Secret `required:"true"`
}

func (n *needy) Execute(context.Context, *rikki.Run) (any, error) { return len(n.Key.Reveal()), nil }

func TestBatchTakesSecretsFromTheEnvironmentAndKeepsNone(t *testing.T) {
	t.Parallel()
	db, history := rikkitest.DB(t), mongotest.Name(t)
	app := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: history,
		LookupEnv: func(name string) (string, bool) { return "tell-nobody", name == "NEEDY_KEY" },
	}).MustAdd(&needy{})
	t.Cleanup(func() {
		closeApp(t, app)
		if err := db.Client().Database(history).Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	result, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{{Script: "needy"}}}, nil)
	if err != nil || result.Steps[0].Value != len("tell-nobody") {
		t.Fatalf("got %+v, %v", result, err)
	}
	for _, coll := range []string{"runs", "logs"} {
		cursor, err := db.Client().Database(history).Collection(coll).Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		var docs []bson.Raw
		if err := cursor.All(t.Context(), &docs); err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(docs); strings.Contains(text, "tell-nobody") || len(docs) == 0 {
			t.Errorf("%s: %s", coll, text)
		}
	}
}

func TestBatchThatIsPausedGoesOnInTheQueue(t *testing.T) {
	t.Parallel()
	began, pause := make(chan string, 1), make(chan struct{})
	var ran atomic.Int64
	app := rikkitest.App(t, rikkitest.DB(t), working("work", func(_ context.Context, _ *rikki.Run, w *worker) (any, error) {
		ran.Add(1)
		if w.Text == "first" {
			began <- ""
			<-pause
		}
		return nil, nil
	}))
	ids := make(chan string, 1)
	type end struct {
		result *rikki.BatchResult
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		result, err := app.Batch(context.Background(), rikki.Batch{Steps: []rikki.Step{
			{Name: "first", Script: "work", Params: map[string]any{"text": "first"}}, {Name: "second", Script: "work"},
		}}, &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
			if e.Script == "batch" && e.Type == rikki.EventState && e.State == rikki.Running {
				ids <- e.Run
			}
		})}})
		ended <- end{result, err}
	}()
	id := <-ids
	<-began
	if _, err := app.Pause(t.Context(), id, &rikki.ControlOptions{Actor: "mira"}); err != nil {
		t.Fatal(err)
	}
	close(pause)
	got := <-ended
	if !errors.Is(got.err, rikki.ErrPaused) || got.result.State != rikki.Paused {
		t.Fatalf("got %+v, %v", got.result, got.err)
	}
	wantStory(t, got.result, "first succeeded", "second skipped: the batch was paused")

	if _, err := app.Resume(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	serving(t, app, rikki.ServeOptions{})
	record := await(t, app, id, inState(rikki.Succeeded))
	if record.Attempt != 2 || ran.Load() != 2 {
		t.Errorf("%d runs of steps, record %+v", ran.Load(), record)
	}
}

func TestBatchRunsOutOfItsTimeBudget(t *testing.T) {
	t.Parallel()
	app := rikkitest.App(t, rikkitest.DB(t),
		working("good", nil), working("slow", func(ctx context.Context, run *rikki.Run, _ *worker) (any, error) { return waitForEnd(ctx, run) }))
	result, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{{Script: "good"}, {Script: "slow"}, {Name: "end", Script: "good"}}},
		&rikki.RunOptions{Timeout: 700 * time.Millisecond})
	if !errors.Is(err, rikki.ErrTimeout) || result.State != rikki.Failed || result.Failure.Kind != "timeout" {
		t.Fatalf("got %+v, %v", result, err)
	}
	wantStory(t, result, "good succeeded", "slow interrupted", "end skipped: the time budget is used up")
	if m := result.Steps[1].Failure.Message; !strings.Contains(m, "time budget of the batch, 700ms, is used up") {
		t.Errorf("the step says %q", m)
	}
}

func TestBatchIsCancelledFromElsewhereWithItsSteps(t *testing.T) {
	t.Parallel()
	ids := make(chan string, 1)
	db := rikkitest.DB(t)
	app := rikkitest.App(t, db, working("slow", func(ctx context.Context, run *rikki.Run, _ *worker) (any, error) {
		return waitForEnd(ctx, run)
	}))
	ended := make(chan *rikki.BatchResult, 1)
	go func() {
		result, _ := app.Batch(context.Background(), rikki.Batch{Concurrency: 2, Steps: []rikki.Step{{Script: "slow"}, {Script: "slow"}, {Script: "slow"}}},
			&rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
				if e.Script == "batch" && e.State == rikki.Running {
					ids <- e.Run
				}
			})}})
		ended <- result
	}()
	if _, err := app.Cancel(t.Context(), <-ids, &rikki.ControlOptions{Actor: "mira", Reason: "wrong tenant"}); err != nil {
		t.Fatal(err)
	}
	result := <-ended
	if result.State != rikki.Cancelled {
		t.Errorf("state %s", result.State)
	}
	for _, step := range result.Steps {
		switch {
		case step.Skipped == "the batch was cancelled":
		case step.Result != nil && step.State == rikki.Cancelled && strings.Contains(step.Failure.Message, "by mira: wrong tenant"):
		default:
			t.Errorf("step %+v", step)
		}
	}
}

func TestBatchDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	docs := db.Collection("docs")
	if _, err := docs.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	app := rikkitest.App(t, db, working("inc", func(ctx context.Context, run *rikki.Run, _ *worker) (any, error) {
		_, err := run.DB().Collection("docs").UpdateByID(ctx, 1, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
		return nil, err
	}))
	result, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{{Script: "inc"}, {Script: "inc"}}}, &rikki.RunOptions{DryRun: true})
	if err != nil || !result.DryRun {
		t.Fatalf("got %+v, %v", result, err)
	}
	for _, step := range result.Steps {
		if !step.DryRun || step.Preview == nil || len(step.Preview.Changes) != 1 {
			t.Errorf("step %+v", step)
		}
	}
	if n, err := docs.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n != 1 {
		t.Errorf("%d documents are as they were, %v", n, err)
	}
}

// TestBatchGoesOnWhileTheAppCloses: Close waits for the runs under way, and the
// steps that a batch has not begun yet belong to it.
func TestBatchGoesOnWhileTheAppCloses(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	app := rikkitest.App(t, rikkitest.DB(t),
		working("first", func(context.Context, *rikki.Run, *worker) (any, error) {
			close(began)
			<-goOn
			return nil, nil
		}), working("second", nil))
	ended := make(chan error, 1)
	go func() {
		_, err := app.Batch(context.Background(), rikki.Batch{Steps: []rikki.Step{{Script: "first"}, {Script: "second"}}}, nil)
		ended <- err
	}()
	<-began
	closed := make(chan error, 1)
	go func() { closed <- app.Close(context.Background()) }()
	for {
		if _, err := app.Run(t.Context(), "second", &rikki.RunOptions{NoHistory: true}); errors.Is(err, rikki.ErrClosed) {
			break
		}
	}
	close(goOn)
	if err := errors.Join(<-ended, <-closed); err != nil {
		t.Error(err)
	}
}

// TestBatchIsRetriedInTheQueue: a retry repeats all of a batch, in the process
// that serves the queue.
func TestBatchIsRetriedInTheQueue(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	app := rikkitest.App(t, rikkitest.DB(t), working("work", func(context.Context, *rikki.Run, *worker) (any, error) { return ran.Add(1), nil }))
	result, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{{Script: "work"}, {Script: "work"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := app.Retry(t.Context(), result.Run, nil)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, app, rikki.ServeOptions{Workers: 1})
	await(t, app, record.ID, inState(rikki.Succeeded))
	if ran.Load() != 4 {
		t.Errorf("%d runs, want 4", ran.Load())
	}
	var parents []string
	for r, err := range app.Runs(t.Context(), rikki.RunFilter{Script: "work"}) {
		if err != nil {
			t.Fatal(err)
		}
		parents = append(parents, r.Parent)
	}
	slices.Sort(parents)
	want := []string{result.Run, result.Run, record.ID, record.ID}
	slices.Sort(want)
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Error(diff)
	}
}

// TestBatchStepHasTheGraceOfItsServer: a process that ends lets a step come to its end, as it does
// with a run of its own.
func TestBatchStepHasTheGraceOfItsServer(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 2)
	app := rikkitest.App(t, rikkitest.DB(t), working("work", func(ctx context.Context, run *rikki.Run, _ *worker) (any, error) {
		began <- struct{}{}
		if len(began) == 1 {
			return nil, nil // the first batch, to be repeated
		}
		<-run.Stopping()
		_, err := run.DB().Collection("docs").InsertOne(ctx, bson.D{})
		return "ended by itself", err
	}))
	first, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{{Script: "work"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := app.Retry(t.Context(), first.Run, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := serving(t, app, rikki.ServeOptions{Grace: 20 * time.Second})
	await(t, app, record.ID, func(rikki.Record) bool { return len(began) == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	await(t, app, record.ID, inState(rikki.Succeeded))
	for r, err := range app.Runs(t.Context(), rikki.RunFilter{Script: "work", Limit: 1}) {
		if err != nil || r.State != rikki.Succeeded {
			t.Errorf("step %+v, %v", r, err)
		}
	}
}
