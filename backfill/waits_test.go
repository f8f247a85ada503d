package backfill_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// Why a run waited is in its log, when it began to and when it ended, and in what it leaves.
func TestARunThatWaitedSaysSo(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: 1}})
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Script: rikki.Options{Name: "count"}}, increment))
	opens := time.Now().UTC().Add(2 * time.Hour)
	window := fmt.Sprintf("%s-%s", opens.Format("15:04"), opens.Add(time.Hour).Format("15:04"))
	result, err := app.Run(t.Context(), "count", &rikki.RunOptions{Params: map[string]any{"window": window}, Timeout: 5 * time.Second})
	if !errors.Is(err, rikki.ErrTimeout) {
		t.Fatal(err)
	}
	s, ok := result.Value.(*backfill.Summary)
	if !ok || len(s.Waits) == 0 || s.Waits[0].For != "window" || !strings.Contains(s.Waits[0].Reason, window) || s.Waits[0].Advice() == "" {
		t.Errorf("it left %+v", result.Value)
	}
	var told []string
	for log, err := range app.Logs(t.Context(), result.Run, rikki.LogFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log.Attrs), "outside of the window "+window) {
			told = append(told, log.Message)
		}
	}
	if got := strings.Join(told, ", "); got != "the run waits, the run has waited" {
		t.Errorf("the log says %q", got)
	}
}
