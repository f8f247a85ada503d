package backfill_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// A pace that no run could keep is refused before anything is written, and the message says what would do.
func TestOddPacesAreRefused(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: 1}})
	for want, opts := range map[string]backfill.Options{
		"Options.Chunk: -1 documents; say 1 to 10000":      {Chunk: -1},
		"Options.Chunk: 10001 documents; say 1 to 10000":   {Chunk: 10_001},
		"Options.Workers: -1; say 1 to 64":                 {Workers: -1},
		"Options.Workers: 65; say 1 to 64":                 {Workers: 65},
		"Options.Rate: -1 documents a second":              {Rate: -1},
		"Options.Rate: NaN documents a second":             {Rate: math.NaN()},
		"Options.Rate: +Inf documents a second":            {Rate: math.Inf(1)},
		"Options.Rate: 1e-300 documents a second":          {Rate: 1e-300},
		"Options.Target: 1m0s; say up to 30s":              {Target: time.Minute},
		"Options.Collection: system.users is the server's": {Collection: "system.users"},
	} {
		if opts.Collection == "" {
			opts.Collection = "things"
		}
		if _, err := summary(t, db, function(opts, increment), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for want, params := range map[string]map[string]any{
		"chunk": {"chunk": 10_001}, "workers": {"workers": 65}, "rate": {"rate": -1}, "max-lag": {"max-lag": "-1s"}, "max-runtime": {"max-runtime": "0.5s"},
		"limit": {"limit": -1}, "window": {"window": "25:00-26:00"},
	} {
		if _, err := summary(t, db, function(backfill.Options{Collection: "things"}, increment), params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if _, _, most := each(t, db.Collection("things")); most != 0 {
		t.Error("something was changed")
	}
	s, err := summary(t, db, function(backfill.Options{Collection: "things", Rate: 0.001}, increment), map[string]any{"max-lag": "0s", "rate": 0})
	if err != nil || s.Changed != 1 {
		t.Errorf("no limits: %v, %+v", err, s)
	}
}

func TestOddTuningsAreRefused(t *testing.T) {
	t.Parallel()
	app := rikkitest.App(t, rikkitest.DB(t), function(backfill.Options{Collection: "things"}, increment))
	for want, tuning := range map[string]rikki.Tuning{
		"a chunk of -1 documents: say 1 to 10000":     {Chunk: -1},
		"a chunk of 100000 documents: say 1 to 10000": {Chunk: 100_000},
		"-1 workers: say 1 to 64":                     {Workers: -1},
		"1000 workers: say 1 to 64":                   {Workers: 1000},
		"a rate of NaN":                               {Rate: math.NaN()},
		"a rate of 1e-300":                            {Rate: 1e-300},
		"a rate of +Inf":                              {Rate: math.Inf(1)},
		"it can't last for -1s":                       {Lasts: -time.Second},
		"it can't last for 2562047h":                  {Lasts: math.MaxInt64},
	} {
		if _, err := app.Tune(t.Context(), "last", tuning, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
