//go:build linux

package faults_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// A program whose URI goes to one secondary, and no further, is told so before anything is written: by a backfill, its dry run, and an
// undo.
func TestBackfillOfASecondaryIsRefused(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	s := onSet(t, set)
	coll := s.seed(t, "docs", 50)
	done, err := s.app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 10, nil)})
	if err != nil {
		t.Fatal(err)
	}
	before, oplog, history := hash(t, coll), faultrig.Record(t, s.db), faultrig.Record(t, s.client.Database(s.history()))
	secondary := set.Addrs()[set.Secondaries(t)[0]]
	s.URI = "mongodb://" + secondary + "/?directConnection=true"
	app := s.own(t, nil)
	for _, run := range []struct {
		name string
		opts rikki.RunOptions
	}{
		{"marks", rikki.RunOptions{Params: marks("docs", 10, nil)}},
		{"marks", rikki.RunOptions{Params: marks("docs", 10, nil), DryRun: true}},
		{backfill.UndoName, rikki.RunOptions{Params: map[string]any{"run": done.Run}}},
	} {
		result, err := app.Run(t.Context(), run.name, &run.opts)
		refused, ok := errors.AsType[*conn.Error](err)
		if !ok || result != nil || !strings.Contains(refused.Why, secondary+" is a secondary") || !strings.Contains(refused.Fix, "take directConnection out of the URI") {
			t.Errorf("%s, dry run %v: %+v, %v", run.name, run.opts.DryRun, result, err)
		}
	}
	if changes := append(oplog.Changes(t), history.Changes(t)...); len(changes) > 0 || hash(t, coll) != before {
		t.Errorf("something was written: %+v", changes)
	}
}
