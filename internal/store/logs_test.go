package store

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func (b *testBundle) readLogs(t *testing.T, id string, f LogFilter) []Log {
	t.Helper()
	var logs []Log
	for l, err := range b.Logs(t.Context(), id, f) {
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	return logs
}

func seqs(logs []Log) []int64 {
	var out []int64
	for _, l := range logs {
		out = append(out, l.Seq)
	}
	return out
}

func between(first, last int64) []int64 {
	var out []int64
	for n := first; n <= last; n++ {
		out = append(out, n)
	}
	return out
}

func TestLogs(t *testing.T) {
	t.Parallel()

	t.Run("ComeBackAsTheyWere", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		want := []Log{
			{Seq: 1, Time: longAgo(), Level: slog.LevelDebug - 3, Message: "$first"},
			{Seq: 2, Time: longAgo(), Level: slog.LevelError, Message: "second", Attrs: bson.D{
				{Key: "$user", Value: "$$ROOT"}, {Key: "group", Value: bson.D{{Key: "n", Value: int64(1)}}},
			}},
		}
		if err := b.AppendLogs(t.Context(), "r_1", want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.readLogs(t, "r_1", LogFilter{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("AreStoredOnceHoweverOftenTheyAreSent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		logs := []Log{{Seq: 1, Message: "a", Time: longAgo()}, {Seq: 2, Message: "b", Time: longAgo()}}
		again := []Log{{Seq: 2, Message: "other", Time: longAgo()}, {Seq: 3, Message: "c", Time: longAgo()}}
		for _, batch := range [][]Log{logs, again, logs, nil} {
			if err := b.AppendLogs(t.Context(), "r_1", batch); err != nil {
				t.Fatal(err)
			}
		}
		want := []Log{logs[0], logs[1], again[1]}
		if diff := cmp.Diff(want, b.readLogs(t, "r_1", LogFilter{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("AreCutAndSaySo", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		err := b.AppendLogs(t.Context(), "r_1", []Log{
			{Seq: 1, Message: strings.Repeat("x", 100<<10)},
			{Seq: 2, Message: "large attribute", Attrs: bson.D{{Key: "k", Value: strings.Repeat("x", 20<<20)}}},
			{Seq: 3, Message: "odd attribute", Attrs: bson.D{{Key: "k", Value: make(chan int)}}},
			{Seq: 4, Message: "binary \xff\xfe\x00"},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := b.readLogs(t, "r_1", LogFilter{})
		if len(got) != 4 {
			t.Fatalf("got %d records, want 4: a bad one must not stop the others", len(got))
		}
		if l := got[0]; l.Cut == nil || l.Cut.Bytes != 100<<10 || !strings.HasSuffix(l.Message, "… (cut: 102400 bytes)") {
			t.Errorf("message: cut %+v", l.Cut)
		}
		if l := got[1]; l.Cut == nil || l.Cut.Bytes < 20<<20 || len(l.Attrs) != 0 {
			t.Errorf("large attribute: cut %+v", l.Cut)
		}
		if l := got[2]; l.Cut == nil || !strings.Contains(l.Cut.Why, "can't hold") || l.Message != "odd attribute" {
			t.Errorf("odd attribute: cut %+v", l.Cut)
		}
		if l := got[3]; l.Message != "binary \uFFFD\x00" || l.Cut != nil {
			t.Errorf("binary: got %q, cut %+v", l.Message, l.Cut)
		}
	})

	t.Run("OfAnySizeFitInOneCall", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		logs := make([]Log, 900) // 56 MiB: more than a message to the server may have
		for i := range logs {
			logs[i] = Log{Seq: int64(i + 1), Message: strings.Repeat("x", textLimit)}
		}
		if err := b.AppendLogs(t.Context(), "r_1", logs); err != nil {
			t.Fatal(err)
		}
		if n, err := b.logs.CountDocuments(t.Context(), bson.D{}); err != nil || n != 900 {
			t.Errorf("stored: got %d, %v, want 900", n, err)
		}
	})
}

func TestLogsAreReadInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const total = 650
	logs := make([]Log, total)
	for i := range logs {
		level := slog.LevelInfo
		if i%100 == 99 {
			level = slog.LevelWarn
		}
		logs[i] = Log{Seq: int64(i + 1), Time: longAgo().Add(time.Duration(i)), Level: level, Message: fmt.Sprintf("Record (%d)", i+1)}
	}
	for _, id := range []string{"r_1", "r_10", "r_2"} { // neighbours must not leak in
		if err := b.AppendLogs(t.Context(), id, logs); err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct {
		f    LogFilter
		want []int64
	}{
		"All":              {LogFilter{}, between(1, total)},
		"AfterARecord":     {LogFilter{AfterSeq: 640}, between(641, total)},
		"AfterTheLast":     {LogFilter{AfterSeq: total}, nil},
		"Limit":            {LogFilter{Limit: 250}, between(1, 250)},
		"Tail":             {LogFilter{Tail: 250}, between(401, total)},
		"TailOfMore":       {LogFilter{Tail: 10_000}, between(1, total)},
		"TailAfterARecord": {LogFilter{Tail: 100, AfterSeq: 600}, between(601, total)},
		"TailOfWarnings":   {LogFilter{Tail: 2, MinLevel: slog.LevelWarn}, []int64{500, 600}},
		"Warnings":         {LogFilter{MinLevel: slog.LevelWarn}, []int64{100, 200, 300, 400, 500, 600}},
		"Text":             {LogFilter{Text: "record (7)"}, []int64{7}},
		"TextIsNoPattern":  {LogFilter{Text: "record .7."}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(row.want, seqs(b.readLogs(t, "r_1", row.f))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	t.Run("StopWhenTheReaderDoes", func(t *testing.T) {
		t.Parallel()
		for _, f := range []LogFilter{{}, {Tail: 100}} {
			n := 0
			for _, err := range b.Logs(t.Context(), "r_1", f) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 3 {
					break
				}
			}
			if n != 3 {
				t.Errorf("got %d", n)
			}
		}
	})
}
