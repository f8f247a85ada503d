package rikki

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/conn"
)

// Run is what a script gets for one execution. It is valid until Cleanup has
// returned. Its methods may be called from several goroutines.
type Run struct {
	app     *App
	id      string
	script  string
	attempt int
	dryRun  bool

	schedule    string
	scheduledAt time.Time

	ref      *conn.Ref
	log      *slog.Logger
	progress *Progress
	stopping chan struct{}
	steering *steering
	kept     func() // tells of a checkpoint
	place    *place
	monitor  *monitor
	preview  *mongo.Session // the transaction of a dry run, or nil
	dry      *dryRun        // the same
	placed   atomic.Bool    // see HasPlace

	mu       sync.Mutex
	counters map[string]int64
}

// ID identifies the run in the history, in logs and on the command line.
func (r *Run) ID() string { return r.id }

// Script is the name of the script.
func (r *Run) Script() string { return r.script }

// Attempt is 1 for the first try.
func (r *Run) Attempt() int { return r.attempt }

// DryRun tells whether the run is a dry run. A script that then only says what
// it would do declares [Options.DryRun]; others need not look at it.
func (r *Run) DryRun() bool { return r.dryRun }

// Schedule is the name of the schedule that the run is of, or "".
func (r *Run) Schedule() string { return r.schedule }

// ScheduledAt is the slot of its schedule that the run is for: the time that it
// was meant to begin at, however late it began. In a backfill of a schedule it
// lies in the past. It is zero for a run without a schedule.
func (r *Run) ScheduledAt() time.Time { return r.scheduledAt }

// Client is the shared client. It must not be disconnected. Operations must
// use the context that the script got, or a timeout can't stop them.
func (r *Run) Client() *mongo.Client { return r.ref.Client() }

// DB is the database that the URI names.
func (r *Run) DB() *mongo.Database { return r.ref.DB() }

// Log is the run's logger: every record carries the run's ID and is kept in
// the history too.
func (r *Run) Log() *slog.Logger { return r.log }

// Progress is where the script says how far it is.
func (r *Run) Progress() *Progress { return r.progress }

// Stopping is closed when the run is asked to stop. A loop that looks at it
// between two batches ends cleanly; [Options.Drain] says how long it has.
func (r *Run) Stopping() <-chan struct{} { return r.stopping }

// Count adds n to a named counter of the run, such as "modified" or "skipped".
// The counters are kept in the history. The one that is called "failed" is shown as
// errors beside the progress.
func (r *Run) Count(name string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counters == nil {
		r.counters = make(map[string]int64)
	}
	r.counters[name] += n
}

func (r *Run) countersCopy() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counters)
}

// counterFailed is the counter that is shown beside the progress.
const counterFailed = "failed"

func (r *Run) failed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counters[counterFailed]
}

type runKey struct{}

// withRun ties a context to a run, so that the command monitor knows whose
// commands are sent with it.
func withRun(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, runKey{}, id)
}

func runOf(ctx context.Context) string {
	id, _ := ctx.Value(runKey{}).(string)
	return id
}
