package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/redact"
	"github.com/rikki-go/rikki/internal/store"
)

// Notifier watches an app's history and delivers messages. Create it with [New].
type Notifier struct {
	app    *rikki.App
	cfg    Config
	log    *slog.Logger
	owner  string
	client *http.Client
	pokes  []chan struct{} // one of each target
}

// New checks the configuration; the error has all of its mistakes. It does no input or output.
func New(app *rikki.App, cfg *Config) (*Notifier, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	c, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	n := &Notifier{app: app, cfg: c, log: app.Log(), owner: rand.Text(), client: newClient()}
	for range c.Targets {
		n.pokes = append(n.pokes, make(chan struct{}, 1))
	}
	return n, nil
}

const (
	leadTTL     = 5 * time.Second // a round that takes longer loses the order, nothing else
	settleTime  = 5 * time.Second
	callTimeout = 10 * time.Second
	batchSize   = 100
	giveUp      = 24 * time.Hour
	keep        = 30 * 24 * time.Hour
	pruneEvery  = time.Minute
)

// Run looks for news and delivers messages until ctx ends. Any number of processes may do so.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.client.CloseIdleConnections()
	return n.app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
		st := store.New(db)
		since, err := st.OpenNotifications(ctx, n.database())
		if err != nil {
			return err
		}
		var group sync.WaitGroup
		for i, t := range n.cfg.Targets {
			group.Go(func() { n.deliver(ctx, st, t, n.pokes[i]) })
		}
		n.lead(ctx, st, since)
		group.Wait()
		return nil
	})
}

func (n *Notifier) database() string { return n.app.Conn().Database() }

// lead turns news into messages, while no other process does.
func (n *Notifier) lead(ctx context.Context, st *store.Store, since time.Time) {
	var pruned time.Time
	for n.wait(ctx, nil) {
		if err := n.round(ctx, st, since, &pruned); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "the history can't be searched for what to notify of, trying again", "error", err)
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := st.ResignNotifications(end, n.database(), n.owner); err != nil {
		n.log.Debug("notifications wait until the lease of this process expires", "error", err)
	}
}

// wait returns after a while, or when poked; false when ctx has ended.
func (n *Notifier) wait(ctx context.Context, poke <-chan struct{}) bool {
	timer := time.NewTimer(n.cfg.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-poke:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func (n *Notifier) round(ctx context.Context, st *store.Store, since time.Time, pruned *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	mine, err := st.LeadNotifications(ctx, n.database(), n.owner, leadTTL)
	if err != nil || !mine {
		return err
	}
	// A run whose process died may have nobody else to say so.
	if _, err := st.Sweep(ctx); err != nil {
		return err
	}
	if err := n.news(ctx, st, since); err != nil {
		return err
	}
	if err := n.standing(ctx, st, since); err != nil {
		return err
	}
	if time.Since(*pruned) > pruneEvery {
		*pruned = time.Now()
		return st.PruneNotifications(ctx, n.database(), giveUp, keep, batchSize)
	}
	return nil
}

// news tells of runs that have come to rest.
func (n *Notifier) news(ctx context.Context, st *store.Store, since time.Time) error {
	runs, err := st.News(ctx, n.database(), since, batchSize)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := n.tell(ctx, st, run); err != nil {
			return err
		}
		if err := st.Noted(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// tell makes the messages of one run. Done twice, it is done once.
func (n *Notifier) tell(ctx context.Context, st *store.Store, run store.Run) error {
	if run.DryRun || run.ReadAt.Sub(run.NewsAt) > giveUp {
		return nil
	}
	if run.Stuck && run.StoppedAt.IsZero() {
		if err := n.notify(ctx, st, n.messageOf(Stuck, run), run.ID); err != nil {
			return err
		}
	}
	switch {
	case failed(run):
		subject, err := n.root(ctx, st, run)
		if err != nil {
			return err
		}
		if err := n.notify(ctx, st, n.messageOf(Failure, run), subject); err != nil {
			return err
		}
		return st.SetFailing(ctx, streamOf(run), store.Failing{Subject: subject, At: run.NewsAt})
	case run.State == rikki.Succeeded:
		return n.succeeded(ctx, st, run)
	default:
		return nil
	}
}

// failed tells whether somebody must look after the run. One that was stopped at a terminal was stopped by somebody who knows,
// and an interrupted one that is ready goes on by itself.
func failed(run store.Run) bool {
	switch run.State {
	case rikki.Failed, rikki.SucceededWithErrors:
		return true
	case rikki.Interrupted:
		return !run.Ready && (run.Queue || run.Error == nil || run.Error.Kind != "interrupted")
	default:
		return false
	}
}

func (n *Notifier) succeeded(ctx context.Context, st *store.Store, run store.Run) error {
	if err := n.notify(ctx, st, n.messageOf(Success, run), subjectOf(run)); err != nil {
		return err
	}
	stream := streamOf(run)
	failing, err := st.Failing(ctx, stream)
	if err != nil || failing == nil || failing.At.After(run.NewsAt) {
		return err
	}
	if err := n.notify(ctx, st, n.messageOf(Recovery, run), failing.Subject); err != nil {
		return err
	}
	return st.Recovered(ctx, stream, failing.Subject)
}

// root is the occurrence that a run is of, through all retries by hand.
func (n *Notifier) root(ctx context.Context, st *store.Store, run store.Run) (string, error) {
	const most = 50
	for range most {
		if run.Trigger != "retry" || run.Parent == "" {
			break
		}
		parent, err := st.Run(ctx, run.Parent)
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return "", err
		}
		run = parent
	}
	return subjectOf(run), nil
}

// standing tells of what hasn't happened.
func (n *Notifier) standing(ctx context.Context, st *store.Store, since time.Time) error {
	if n.cfg.StuckAfter > 0 {
		runs, err := st.StuckRuns(ctx, n.database(), n.cfg.StuckAfter, batchSize)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if err := n.notify(ctx, st, n.messageOf(Stuck, run), run.ID); err != nil {
				return err
			}
		}
	}
	if n.cfg.LateAfter > 0 {
		runs, err := st.LateRuns(ctx, n.database(), since, n.cfg.LateAfter, batchSize)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if err := n.notify(ctx, st, n.messageOf(Late, run), subjectOf(run)); err != nil {
				return err
			}
		}
	}
	return n.schedules(ctx, st, since)
}

func (n *Notifier) schedules(ctx context.Context, st *store.Store, since time.Time) error {
	found, err := st.TroubledSchedules(ctx, n.database(), since, n.cfg.LateAfter, batchSize)
	if err != nil {
		return err
	}
	for _, sch := range found {
		m := Message{V: 1, Event: Late, Database: sch.Database, Script: sch.Script, Schedule: sch.Name, Slot: sch.NextSlot}
		subject := slotSubject(sch.Name, sch.NextSlot)
		if sch.State == store.SchedulePaused && sch.Note != nil {
			if sch.ReadAt.Sub(sch.Note.At) > giveUp {
				continue
			}
			m.Event, m.Slot, m.Error = Paused, time.Time{}, cut(redact.Text(sch.Note.Text))
			subject = slotSubject(sch.Name, sch.Note.At)
		}
		m.Text = m.sentence()
		if err := n.notify(ctx, st, m, subject); err != nil {
			return err
		}
	}
	return nil
}

// notify puts a message into the outbox of each target that wants it.
func (n *Notifier) notify(ctx context.Context, st *store.Store, m Message, subject string) error {
	for i, t := range n.cfg.Targets {
		if !t.wants(m) {
			continue
		}
		body, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("encode a message: %w", err)
		}
		err = st.Notify(ctx, store.Notification{
			ID: string(m.Event) + " " + n.database() + " " + subject + " " + t.Name, Database: n.database(), Target: t.Name, Kind: string(m.Event),
			Subject: subject, Body: string(body),
		})
		if err != nil {
			return err
		}
		select {
		case n.pokes[i] <- struct{}{}:
		default:
		}
	}
	return nil
}
