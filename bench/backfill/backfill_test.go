package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tiny is a round that takes no time. The server is its own: everybody works on the same database of it.
func tiny(t *testing.T) settings {
	t.Helper()
	mongotest.Wanted(t)
	dir := t.TempDir()
	return settings{docs: 600, size: 280, rounds: 1, naive: 50, cache: 0.25, build: dir, json: filepath.Join(dir, "result.json")}
}

// One tiny round: each contestant of ours changes every document, or the round fails, and has figures.
func TestOneRound(t *testing.T) {
	t.Parallel()
	s := tiny(t)
	s.only = []string{naive, bulkGo, updateMany, "pipeline", "function"}
	s.profile = filepath.Join(s.build, "profiles")
	var table bytes.Buffer
	if err := run(t.Context(), s, &table, io.Discard); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.json)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 9 || len(r.Goals) != 12 {
		t.Errorf("%d rows and %d goals, not 9 and 12:\n%s", len(r.Rows), len(r.Goals), table.String())
	}
	for _, row := range r.Rows {
		if row.Rate.Median <= 0 || row.RSS.Median <= 0 || row.Ratio.Median <= 0 || row.Samples[0].Server.Commands <= 0 {
			t.Errorf("%s has no figures: %+v", row.Name, row)
		}
		if !strings.Contains(table.String(), row.Title) {
			t.Errorf("the table lacks %s:\n%s", row.Title, table.String())
		}
	}
	if profiles, _ := filepath.Glob(filepath.Join(s.profile, "*.pprof")); len(profiles) != 6 {
		t.Errorf("profiles: %v", profiles)
	}
}

func TestOthersAreMeasuredMeanwhile(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as long as others are measured alone")
	}
	s := tiny(t)
	s.only, s.foreground = []string{updateMany, pipelineOff}, true
	var table bytes.Buffer
	if err := run(t.Context(), s, &table, io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(table.String(), "\n"); n != 6 {
		t.Errorf("the table has %d lines:\n%s", n, table.String())
	}
}

func TestWhatFollowsARun(t *testing.T) {
	t.Parallel()
	s := tiny(t)
	s.only, s.after = []string{"plain", "half-pipeline"}, true
	var table, news bytes.Buffer
	if err := run(t.Context(), s, &table, &news); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"half-pipeline, run", "half-pipeline, retry", "plain, undo-dry", "plain, undo"} {
		if !strings.Contains(table.String(), want+"\n") {
			t.Errorf("the table lacks %s:\n%s", want, table.String())
		}
	}
	for _, want := range []string{"failed:300", "300 failures", "map[changed:300]", "map[changed:600]"} {
		if !strings.Contains(news.String(), want) {
			t.Errorf("%s was not counted:\n%s", want, news.String())
		}
	}
}

func TestContestantsThatThereArentAreRefused(t *testing.T) {
	t.Parallel()
	b := &bench{settings: settings{only: []string{"functoin"}}}
	if _, _, err := b.ready(t.Context()); err == nil || !strings.Contains(err.Error(), `"functoin"`) {
		t.Error(err)
	}
}
