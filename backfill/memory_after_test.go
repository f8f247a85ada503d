//go:build !race

package backfill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// wordy fails for all documents, each with another message, until it is repaired. It can keep what it has seen, as scripts must not.
type wordy struct {
	Repaired bool
	Keep     bool

	kept *[]bson.Raw
}

func (*wordy) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 250, Workers: 1, MaxFailures: 1 << 40}
}

func (w *wordy) Change(_ context.Context, doc bson.Raw) (backfill.Change, error) {
	if w.Keep {
		*w.kept = append(*w.kept, doc)
	}
	if w.Repaired {
		return backfill.Set("n", 1), nil
	}
	return backfill.None(), fmt.Errorf("no address for %s", word(doc.Lookup("_id").AsInt64()))
}

func (*wordy) Done(doc bson.Raw) bool { return !doc.Lookup("n").IsZero() }

// word is another one for each number, without digits.
func word(n int64) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprintf("%010d", n*7919)) + strings.Repeat(" somewhere", 8)
}

// failuresLife is a run in which all documents fail, and all that can be done about it. It returns the most memory of each step.
func failuresLife(t *testing.T, n int, keep bool) map[string]int {
	t.Helper()
	db := rikkitest.DB(t)
	things(t, db, n)
	m, peaks := &meter{every: 3 + n/20_000}, map[string]int{}
	var kept []bson.Raw
	app := metered(t, db, m, backfill.New[bson.Raw](&wordy{kept: &kept}))
	step := func(name string, do func() error) {
		m.reset()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		peaks[name] = m.peak(t)
	}
	var id string
	step("run", func() error {
		run, err := app.Run(t.Context(), "wordy", &rikki.RunOptions{Params: map[string]any{"keep": keep}})
		if !isPartial(err, int64(n)) {
			return err
		}
		id = run.Run
		return nil
	})
	step("export", func() error {
		lines, out, held := 0, json.NewEncoder(io.Discard), []backfill.Failure(nil)
		for f, err := range backfill.Failures(t.Context(), app, id) {
			if err != nil {
				return err
			}
			if keep {
				held = append(held, f)
			}
			if err := out.Encode(f); err != nil {
				return err
			}
			if lines++; lines%(n/5) == 0 { // the history's commands are not the meter's
				m.look()
			}
		}
		if lines != n || keep && len(held) != n {
			return fmt.Errorf("%d lines", lines)
		}
		return nil
	})
	step("retry", func() error {
		queued, err := backfill.RetryFailed(t.Context(), app, id, &rikki.ControlOptions{Params: map[string]any{"repaired": true, "keep": keep}})
		if err != nil {
			return err
		}
		result, err := app.Continue(t.Context(), queued.ID, nil)
		if err != nil {
			return err
		}
		if s := result.Value.(*backfill.Summary); s.Changed != int64(n) || s.Verified == nil || s.Verified.Checked != int64(n) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return peaks
}

// However many documents fail, the run, the export, the retry and its verification take as much memory.
func TestMemoryOfFailures(t *testing.T) {
	small, large := twoSizes(100_000)
	if steps := growing(t, small, large, func(n int) map[string]int { return failuresLife(t, n, false) }); len(steps) > 0 {
		t.Errorf("memory grows with the failures in %v", steps)
	}
	t.Run("WhatIsKeptIsSeen", func(t *testing.T) {
		small, large := twoSizes(6000)
		steps := grows(failuresLife(t, small, true), failuresLife(t, large, true), large-small)
		slices.Sort(steps)
		if fmt.Sprint(steps) != "[export retry run]" {
			t.Errorf("a script that keeps its documents, and an export that keeps its failures, were seen in %v", steps)
		}
	})
}

// undoLife is a run, its verification, and its undo; others have changed every second document of one that has conflicts.
func undoLife(t *testing.T, n int, conflicts bool) map[string]int {
	t.Helper()
	db := rikkitest.DB(t)
	things(t, db, n)
	m, peaks := &meter{every: 3 + n/20_000}, map[string]int{}
	app := metered(t, db, m, backfill.New[bson.Raw](&wordy{}))
	m.reset()
	run, err := app.Run(t.Context(), "wordy", &rikki.RunOptions{Params: map[string]any{"repaired": true}})
	if err != nil {
		t.Fatal(err)
	}
	if s := run.Value.(*backfill.Summary); s.Verified == nil || s.Verified.Checked != int64(n) {
		t.Fatalf("%+v", s)
	}
	peaks["run and verification"] = m.peak(t)
	left := 0
	if conflicts {
		odd := bson.D{{Key: "_id", Value: bson.D{{Key: "$mod", Value: bson.A{2, 1}}}}}
		if _, err := db.Collection("things").UpdateMany(t.Context(), odd, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 7}}}}); err != nil {
			t.Fatal(err)
		}
		left = n / 2
	}
	m.reset()
	dry, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{DryRun: true})
	if err != nil != conflicts || dry.Value.(*backfill.UndoForecast).Sampled != int64(min(n, 1000)) {
		t.Fatalf("%+v, %v", dry, err)
	}
	peaks["dry undo"] = m.peak(t)
	m.reset()
	undone, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 250, Workers: 1}})
	if conflicts && !isPartial(err, int64(left)) || !conflicts && err != nil {
		t.Fatalf("%+v, %v", undone, err)
	}
	peaks["undo"] = m.peak(t)
	if s := undone.Value.(*backfill.Undone); s.Changed != int64(n-left) || s.Conflicts != int64(left) {
		t.Fatalf("%+v", s.Summary)
	}
	return peaks
}

// However many documents a run has changed, its verification, its undo and the dry run of that take as much memory.
func TestMemoryOfVerificationAndUndo(t *testing.T) {
	for _, conflicts := range []bool{false, true} {
		t.Run(fmt.Sprintf("conflicts=%t", conflicts), func(t *testing.T) {
			small, large := twoSizes(200_000)
			small += 1000 // more than the dry run of an undo looks at
			if steps := growing(t, small, large, func(n int) map[string]int { return undoLife(t, n, conflicts) }); len(steps) > 0 {
				t.Errorf("memory grows with the documents in %v", steps)
			}
		})
	}
}
