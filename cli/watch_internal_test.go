package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/rikki-go/rikki"
)

// A run that waits in the queue isn't shown as one that goes on, whatever it has done before.
func TestWhatWaitsInTheQueueHasNoPace(t *testing.T) {
	t.Parallel()
	dead := &rikki.ProgressState{Done: 5, Total: 10, Rate: 1105, ETA: 9 * time.Second, Message: "2 workers"}
	for _, record := range []rikki.Record{{State: rikki.Queued}, {State: rikki.Queued, Progress: dead}} {
		sample, ok := watchedSample(record)
		if !ok || sample.Rate != 0 || sample.ETA != 0 || !strings.Contains(strings.Join(sample.Detail, " "), "no process has taken it yet") {
			t.Errorf("%+v", sample)
		}
	}
	if sample, ok := watchedSample(rikki.Record{State: rikki.Running, Progress: dead}); !ok || sample.Rate != 1105 || sample.Detail[0] != "2 workers" {
		t.Errorf("%+v", sample)
	}
	if _, ok := watchedSample(rikki.Record{State: rikki.Running}); ok {
		t.Error("nothing is known of it")
	}
}
