package schedule_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
	"github.com/rikki-go/rikki/schedule"
)

func TestSave(t *testing.T) {
	t.Parallel()

	t.Run("RefusesWhatIsWrongAllAtOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t, schedule.Options{})
		_, err := b.Save(t.Context(), schedule.Schedule{
			Name: "No Name", Script: "report", Cron: "0 25 * * *", Zone: "Berlin", MaxRuns: -1, Overlap: "sometimes", CatchUp: "never",
			Params: map[string]any{"size": 0},
		}, nil)
		invalid, ok := errors.AsType[*schedule.Error](err)
		if !ok {
			t.Fatalf("error %v", err)
		}
		var fields []string
		for _, p := range invalid.Problems {
			fields = append(fields, p.Field)
		}
		if want := []string{"name", "params", "overlap", "max-runs", "catch-up", "zone", "cron"}; !slices.Equal(fields, want) {
			t.Errorf("problems with %v, want %v:\n%v", fields, want, err)
		}
	})

	t.Run("RefusesWhatNeverRuns", func(t *testing.T) {
		t.Parallel()
		b := setup(t, schedule.Options{})
		_, err := b.Save(t.Context(), schedule.Schedule{Script: "report", Once: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}, nil)
		if !errors.Is(err, schedule.ErrNeverRuns) {
			t.Errorf("error %v", err)
		}
		if _, err := b.Save(t.Context(), schedule.Schedule{Script: "report", Cron: "0 0 31 2 *"}, nil); err == nil {
			t.Error("31 February was stored")
		}
	})

	t.Run("ReplacesOnlyWhenToldAndBeginsAnewWhenTimesChange", func(t *testing.T) {
		t.Parallel()
		b := setup(t, schedule.Options{})
		def := schedule.Schedule{Script: "report", Every: time.Hour}
		first := b.save(t, def)
		if _, err := b.Save(t.Context(), def, nil); !errors.Is(err, schedule.ErrExists) {
			t.Errorf("error %v", err)
		}
		def.Description = "hourly"
		second := b.save(t, def)
		if second.Revision != 2 || !second.Next.Equal(first.Next) {
			t.Errorf("%+v", second)
		}
		def.Every = time.Minute
		if third := b.save(t, def); third.Revision != 3 || third.Next.Sub(third.ReadAt) > time.Minute {
			t.Errorf("%+v", third)
		}
		if same := b.save(t, def); same.Revision != 3 {
			t.Errorf("the same definition is revision %d", same.Revision)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t, schedule.Options{})
	b.save(t, schedule.Schedule{Script: "report", Every: time.Second})
	info, err := b.Pause(t.Context(), "report", &schedule.ChangeOptions{Actor: "mira", Note: "migration"})
	if err != nil || info.State != schedule.Paused || info.Note.By != "mira" || info.Note.Text != "migration" || !info.Next.IsZero() {
		t.Fatalf("%+v, %v", info, err)
	}
	stop := b.serve(t)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < 2*time.Second; <-ticker.C {
		if info := b.info(t, "report"); info.Fired != 0 {
			t.Fatal("a paused schedule fires")
		}
	}
	if info, err = b.Resume(t.Context(), "report", nil); err != nil || info.State != schedule.Active || info.Note != nil {
		t.Fatalf("%+v, %v", info, err)
	}
	b.await(t, "run", func(told []schedule.Occurrence) bool { return count(told, schedule.Succeeded) > 0 })
	stop()
	list := b.occurrences(t, schedule.OccurrenceFilter{Schedule: "report", States: []schedule.Outcome{schedule.Skipped}})
	if len(list) == 0 || list[0].Count < 2 || list[0].Reason != "paused" {
		t.Errorf("the slots of the pause: %+v", list)
	}
	changes, err := b.Changes(t.Context(), "report")
	if err != nil || len(changes) != 3 || changes[1].Action != "pause" || changes[1].Actor != "mira" || changes[1].Note != "migration" {
		t.Errorf("audit: %+v, %v", changes, err)
	}
	if _, err := b.Pause(t.Context(), "reprot", nil); !errors.Is(err, schedule.ErrNotFound) || !strings.Contains(err.Error(), "Did you mean report?") {
		t.Errorf("error %v", err)
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	b := setup(t, schedule.Options{})
	b.save(t, schedule.Schedule{Script: "report", Every: time.Hour, PauseAfter: 1, Params: map[string]any{"size": 7}})
	before := b.info(t, "report")
	b.serve(t)
	o, err := b.Trigger(t.Context(), "report", &schedule.TriggerOptions{
		ChangeOptions: schedule.ChangeOptions{Actor: "mira"}, Params: map[string]any{"how": "badly"},
	})
	if err != nil || o.Kind != schedule.Manual || o.Actor != "mira" {
		t.Fatalf("%+v, %v", o, err)
	}
	b.await(t, "failure", func(told []schedule.Occurrence) bool { return count(told, schedule.Failed) > 0 })
	run, err := b.app.Record(t.Context(), o.Run)
	if err != nil || run.Actor != "mira" || run.Trigger != "manual" || !strings.Contains(string(run.Input), `"size":7`) || !strings.Contains(string(run.Input), "badly") {
		t.Errorf("%+v, %v", run, err)
	}
	after := b.info(t, "report")
	if after.State != schedule.Active || after.Failures != 0 || after.Fired != 0 || !after.Next.Equal(before.Next) || len(after.Open) != 0 {
		t.Errorf("a run by hand has changed the schedule: %+v", after)
	}
	if _, err := b.Trigger(t.Context(), "report", &schedule.TriggerOptions{Params: map[string]any{"size": 0}}); err == nil {
		t.Error("wrong parameters were queued")
	}
}

func TestBackfillOfAPastRange(t *testing.T) {
	t.Parallel()
	b := setup(t, schedule.Options{}, &Tally{})
	b.save(t, schedule.Schedule{Name: "hourly", Script: "tally", Cron: "0 * * * *"})
	b.serve(t)
	to := time.Now().UTC().Truncate(time.Hour)
	opts := schedule.BackfillOptions{From: to.Add(-5 * time.Hour), To: to, DryRun: true}
	report, err := b.Backfill(t.Context(), "hourly", opts)
	if err != nil || len(report.Slots) != 5 || len(report.Runs) != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	opts.DryRun = false
	if report, err = b.Backfill(t.Context(), "hourly", opts); err != nil || len(report.Runs) != 5 {
		t.Fatalf("%+v, %v", report, err)
	}
	b.await(t, "five runs", func(told []schedule.Occurrence) bool { return count(told, schedule.Succeeded) == 5 })
	n, err := b.db.Collection("tally").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
	if err != nil || n != 5 {
		t.Errorf("%d slots ran once, %v", n, err)
	}
	opts.From = to.Add(-6 * time.Hour)
	if report, err = b.Backfill(t.Context(), "hourly", opts); err != nil || len(report.Slots) != 1 || report.Ran != 5 {
		t.Errorf("again: %+v, %v", report, err)
	}
	opts.From = to.AddDate(-1, 0, 0)
	if _, err = b.Backfill(t.Context(), "hourly", opts); err == nil || !strings.Contains(err.Error(), "more than 500 slots") {
		t.Errorf("a year of hours: %v", err)
	}
	if info := b.info(t, "hourly"); info.Fired != 0 {
		t.Errorf("backfills count as runs: %d", info.Fired)
	}
}

// Parameters that no longer validate when the slot fires: the schedule pauses itself and says so.
func TestParametersThatNoLongerFit(t *testing.T) {
	t.Parallel()
	b := setup(t, schedule.Options{})
	b.save(t, schedule.Schedule{Script: "report", Every: time.Second, Params: map[string]any{"size": 3}})

	// The next version of the program wants larger ones.
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: rikkitest.URI(t), Database: b.db.Name()}, HistoryDatabase: b.db.Name() + "_history"})
	app.MustAdd(rikki.FuncOf("report", func(context.Context, *rikki.Run, struct {
		Size int `min:"10" default:"10"`
	},
	) (any, error) {
		return nil, nil
	}))
	defer func() { _ = app.Close(context.Background()) }()
	paused := make(chan schedule.Info, 1)
	next := schedule.New(app, &schedule.Options{Poll: 50 * time.Millisecond, OnPause: func(i schedule.Info) { paused <- i }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- next.Run(ctx) }()
	select {
	case info := <-paused:
		if info.State != schedule.Paused || info.Note.Kind != "params" || !strings.Contains(info.Note.Text, "size") {
			t.Errorf("%+v %+v", info, info.Note)
		}
	case <-time.After(patience):
		t.Error("the schedule goes on")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	list := b.occurrences(t, schedule.OccurrenceFilter{Schedule: "report"})
	if len(list) != 1 || list[0].State != schedule.Skipped || !strings.Contains(list[0].Reason, "don't fit") {
		t.Errorf("%+v", list)
	}
	if _, err := next.Resume(t.Context(), "report", nil); err == nil {
		t.Error("it was resumed though its parameters don't fit")
	}
}

func TestWhoSpokeLastWins(t *testing.T) {
	t.Parallel()
	b := setup(t, schedule.Options{})
	code := schedule.Schedule{Name: "nightly", Script: "report", Cron: "0 2 * * *"}
	program := func(defs ...schedule.Schedule) *schedule.Scheduler {
		return b.scheduler(schedule.Options{Program: "demo", Schedules: defs})
	}
	apply := func(s *schedule.Scheduler, want string) schedule.Info {
		t.Helper()
		done, err := s.Sync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(done) != 1 || done[0].Action != want {
			t.Errorf("got %+v, want %s", done, want)
		}
		info, err := s.Schedule(t.Context(), "nightly")
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := program(code)
	for info, err := range first.Schedules(t.Context(), schedule.Filter{}) {
		if err != nil || info.State != schedule.Undeployed {
			t.Errorf("before the deploy: %+v, %v", info, err)
		}
	}
	apply(first, "created")
	apply(first, "unchanged")

	edited := code
	edited.Cron = "0 3 * * *"
	b.save(t, edited)
	info := apply(first, "kept") // a restart of the same program leaves it
	if info.Cron != "0 3 * * *" || len(info.Drift) != 1 || !strings.Contains(info.Drift[0], "cron is 0 3 * * *, and the program says 0 2 * * *") {
		t.Errorf("%+v", info)
	}
	if _, err := b.Pause(t.Context(), "nightly", nil); err != nil {
		t.Fatal(err)
	}
	code.Cron = "0 4 * * *"
	info = apply(program(code), "changed") // a new version doesn't, but the pause stays
	if info.Cron != "0 4 * * *" || info.State != schedule.Paused || len(info.Drift) != 0 {
		t.Errorf("%+v", info)
	}
	if _, err := b.Resume(t.Context(), "nightly", nil); err != nil {
		t.Fatal(err)
	}
	info = apply(program(), "paused") // a version without it
	if info.State != schedule.Paused || info.Note.Kind != "gone" {
		t.Errorf("%+v", info)
	}
	if info = apply(program(code), "restored"); info.State != schedule.Active {
		t.Errorf("%+v", info)
	}
	other := b.scheduler(schedule.Options{Program: "other"})
	if done, err := other.Sync(t.Context()); err != nil || len(done) != 0 {
		t.Errorf("another program touches it: %+v, %v", done, err)
	}
	if err := b.Remove(t.Context(), "nightly", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Scheduler.Schedule(t.Context(), "nightly"); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
}

// A process that died between recording a slot and queueing its run loses nothing: another one completes it.
func TestACrashAtEachPointLosesNothing(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"schedule.decided", "schedule.recorded", "schedule.queued", "schedule.ended"} {
		t.Run(strings.TrimPrefix(point, "schedule."), func(t *testing.T) {
			t.Parallel()
			b := setup(t, schedule.Options{}, &Tally{})
			b.save(t, schedule.Schedule{Name: "tick-0", Script: "tally", Every: time.Second, MaxRuns: 2, Overlap: schedule.Allow})
			ctx, kill := context.WithCancel(context.Background())
			dying := b.scheduler(schedule.Options{})
			schedule.Crash(dying, func(at string) error {
				if at != point {
					return nil
				}
				kill()
				return schedule.ErrCrash
			})
			serving, stop := context.WithCancelCause(context.Background())
			served := make(chan error, 1)
			go func() { served <- b.app.Serve(serving, &rikki.ServeOptions{Poll: 100 * time.Millisecond}) }()
			if err := dying.Run(ctx); err != nil {
				t.Error(err)
			}
			if ctx.Err() == nil {
				t.Fatal("it did not crash")
			}
			b.serve(t)
			b.await(t, "end", func([]schedule.Occurrence) bool {
				select {
				case b.news <- struct{}{}:
				default:
				}
				info := b.info(t, "tick-0")
				return info.State == schedule.Completed && len(info.Open) == 0
			})
			if fired, _ := b.balance(t, "tick-0"); fired != 2 {
				t.Errorf("%d slots fired, want 2", fired)
			}
			stop(rikki.ErrInterrupted)
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOnAStandaloneServer(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: "shop"}}).MustAdd(&Report{})
	defer func() { _ = app.Close(context.Background()) }()
	ended := make(chan schedule.Occurrence, 10)
	s := schedule.New(app, &schedule.Options{Poll: 50 * time.Millisecond, OnOccurrence: func(o schedule.Occurrence) {
		if o.State.Ended() {
			ended <- o
		}
	}})
	if _, err := s.Save(t.Context(), schedule.Schedule{Script: "report", Every: time.Second, MaxRuns: 2}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() {
		done <- app.Serve(ctx, &rikki.ServeOptions{Poll: 100 * time.Millisecond, Observers: []rikki.Observer{s}})
	}()
	for range 2 {
		select {
		case o := <-ended:
			if o.State != schedule.Succeeded {
				t.Errorf("%+v", o)
			}
		case <-time.After(patience):
			t.Error("it doesn't fire")
		}
	}
	cancel(rikki.ErrInterrupted)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
