package store

import "testing"

// A process that dies has told its run's record what it had done a moment before. Whoever ends or frees the run counts what the
// partitions have.
func TestWhatADeadProcessHasDoneIsCounted(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testBundle, string) error{
		"Cancelled": func(b *testBundle, id string) error {
			_, err := b.Control(t.Context(), id, Request{Action: Cancel, Actor: "mira"})
			return err
		},
		"Swept": func(b *testBundle, _ string) error {
			_, err := b.Sweep(t.Context())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			n := newRun()
			n.Resumable = true
			run := b.start(t, n)
			w := b.walk(t, run.ID)
			if err := w.Advance(t.Context(), Step{N: 0, Cursor: value(t, 1), Counts: Counts{Matched: 2, Changed: 1, Unchanged: 1}}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Beat(t.Context(), run.ID, 1, Beat{
				TTL: n.TTL, Progress: &Progress{Done: 2, Total: 10, Message: "waiting", Rate: 5}, Counters: map[string]int64{"changed": 1, "unchanged": 1, "chunk_retries": 3},
			}); err != nil {
				t.Fatal(err)
			}
			if err := w.Advance(t.Context(), Step{N: 0, Chunk: 1, Cursor: value(t, 5), Counts: Counts{Matched: 4, Changed: 4}}); err != nil {
				t.Fatal(err)
			}
			b.expire(t, run.ID)
			if err := end(b, run.ID); err != nil {
				t.Fatal(err)
			}
			got, err := b.Run(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			if c := got.Counters; c["changed"] != 5 || c["unchanged"] != 1 || c["chunk_retries"] != 3 || len(c) != 3 {
				t.Errorf("counters %v", c)
			}
			if p := got.Progress; p == nil || *p != (Progress{Done: 6, Total: 10}) {
				t.Errorf("progress %+v", p)
			}
		})
	}
}
