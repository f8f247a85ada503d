package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rikki-go/rikki/bench/internal/measure"
	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

// One tiny round: the programs build, run, and end up in table and JSON.
func TestOneRound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	var table bytes.Buffer
	err := run(t.Context(), settings{
		rounds: 1, build: dir, json: file, uri: measure.WithDatabase(mongotest.URI(t)),
		peers: []string{rikki, noHistory, library},
	}, &table, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 || r.Rounds != 1 || len(r.Goals) != 3 {
		t.Errorf("%d rows, %d rounds, %d goals", len(r.Rows), r.Rounds, len(r.Goals))
	}
	for _, row := range r.Rows {
		if row.Wall.Median <= 0 || row.CPU.Median <= 0 || row.Ratio.Median <= 0 {
			t.Errorf("%s has no figures: %+v", row.Name, row)
		}
		if !strings.Contains(table.String(), row.Title) {
			t.Errorf("the table lacks %s:\n%s", row.Title, table.String())
		}
	}
}

// One tiny round of the queue, of Rikki alone.
func TestOneRoundOfTheQueue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	var table bytes.Buffer
	err := run(t.Context(), settings{
		rounds: 1, build: dir, json: file, uri: measure.WithDatabase(mongotest.URI(t)),
		only: "serve", runs: 20, peers: []string{rikkiStreams},
	}, &table, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r queueReport
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 1 || r.Runs != 20 || r.Rows[0].Rate.Median <= 0 || r.Rows[0].Wait.Median <= 0 {
		t.Errorf("the file has %+v", r)
	}
	if !strings.Contains(table.String(), "Rikki, change streams") {
		t.Errorf("the table lacks Rikki:\n%s", table.String())
	}
}

func TestPeersThatAreMissingAreListed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "path") // has go, and nothing of Node's
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	compiler, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(compiler, filepath.Join(path, "go")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	t.Setenv("PATH", path)

	lab, err := measure.Open(t.Context(), dir, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{lab}
	peers, missing, err := b.prepare(t.Context(), func(name string) bool { return name == node || name == mongosh })
	if err != nil || len(peers) != 0 {
		t.Fatal(peers, err)
	}
	var table strings.Builder
	if err := summarize(peers, missing, nil).print(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Node helper on mongoose: not measured: node is not installed", "mongosh: not measured: node is not installed",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestFiguresAreComparedRoundByRound(t *testing.T) {
	t.Parallel()
	ms := func(values ...int) []measure.Sample {
		var samples []measure.Sample
		for _, v := range values {
			samples = append(samples, measure.Sample{Wall: time.Duration(v) * time.Millisecond})
		}
		return samples
	}
	// A machine that is ten times slower in one round changes no ratio.
	r := summarize([]peer{{name: bare}, {name: rikki}, {name: node}}, nil, [][]measure.Sample{
		ms(8, 80, 8, 8), ms(16, 160, 16, 24), ms(320, 3200, 320, 320),
	})
	if got, want := r.Rows[1].Ratio, (measure.Span{Median: 2, Min: 2, Max: 3}); got != want {
		t.Errorf("ratio = %+v, want %+v", got, want)
	}
	if got, want := r.Rows[0].Wall, (measure.Span{Median: 8, Min: 8, Max: 80}); got != want {
		t.Errorf("wall = %+v, want %+v", got, want)
	}
	reached := make(map[string]bool)
	for _, g := range r.Goals {
		reached[g.What] = g.Reached
	}
	if !reached["time with history ÷ bare"] || !reached["time of the Node helper ÷ with history"] {
		t.Errorf("goals: %+v", r.Goals)
	}
}

func TestMissedGoalsSaySo(t *testing.T) {
	t.Parallel()
	samples := [][]measure.Sample{{{Wall: 10}}, {{Wall: 21}}}
	var out strings.Builder
	if err := summarize([]peer{{name: bare}, {name: rikki}}, nil, samples).print(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "MISSED") || strings.Contains(out.String(), "reached") {
		t.Error(out.String())
	}
}
