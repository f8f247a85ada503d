package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/redact"
	"github.com/rikki-go/rikki/internal/store"
)

// deliver sends the messages of one target, one after the other, so that a slow one holds up nobody else's.
func (n *Notifier) deliver(ctx context.Context, st *store.Store, t Target, poke <-chan struct{}) {
	for {
		more, err := n.attempt(ctx, st, t)
		if err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "the outbox can't be reached, trying again", "target", t.Name, "error", err)
		}
		if ctx.Err() != nil || !more && !n.wait(ctx, poke) {
			return
		}
	}
}

// attempt delivers the next message, if one is due. Should the process die meanwhile, the message is due again.
func (n *Notifier) attempt(ctx context.Context, st *store.Store, t Target) (bool, error) {
	next, err := st.ClaimNotification(ctx, n.database(), t.Name, t.Timeout+settleTime)
	if err != nil || next == nil {
		return false, err
	}
	var m Message
	answer := Answer{Error: "the stored message can't be read"}
	if err := json.Unmarshal([]byte(next.Body), &m); err == nil {
		answer = t.send(ctx, n.client, messageID(next.ID), m)
	}
	if ctx.Err() != nil && !answer.OK() {
		answer.again = true // it was cut off by the end of this process
	}
	next.Status, next.Error, next.TookMS = answer.Status, answer.Error, answer.Took.Milliseconds()
	next.State = store.NotificationDelivered
	var pause time.Duration
	switch {
	case answer.OK():
		n.log.Debug("notified", "target", t.Name, "event", next.Kind, "subject", next.Subject)
	case answer.again && next.Attempts < MaxAttempts:
		next.State, pause = store.NotificationPending, max(n.cfg.pause(next.Attempts), answer.atLeast)
	default:
		next.State = store.NotificationFailed
		n.log.Warn("a notification could not be delivered", "target", t.Name, "event", next.Kind, "subject", next.Subject,
			"attempts", next.Attempts, "error", answer.Error)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return err == nil, st.SettleNotification(end, *next, pause)
}

// Test sends a message of the kind [Test] to a target, or to all if name is "", now and past the outbox, and returns the answers.
// It needs no connection to MongoDB.
func (n *Notifier) Test(ctx context.Context, name string) ([]Answer, error) {
	defer n.client.CloseIdleConnections()
	var answers []Answer
	for _, t := range n.cfg.Targets {
		if name != "" && t.Name != name {
			continue
		}
		m := Message{V: 1, Event: Test}
		m.Text = m.sentence()
		answers = append(answers, t.send(ctx, n.client, messageID(fmt.Sprint(t.Name, time.Now().UnixNano())), m))
	}
	if len(answers) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoTarget, name)
	}
	return answers, nil
}

// ErrNoTarget is returned by [Notifier.Test] when no target has the name.
var ErrNoTarget = errors.New("no such target")

// TargetInfo is what may be shown of a target.
type TargetInfo struct {
	Name      string   `json:"name"`
	Host      string   `json:"host"`
	Format    Format   `json:"format"`
	Signed    bool     `json:"signed"`
	Events    []Kind   `json:"events"`
	Scripts   []string `json:"scripts,omitempty"`
	Schedules []string `json:"schedules,omitempty"`
}

// Targets describes the targets, without what is secret of them.
func (n *Notifier) Targets() []TargetInfo {
	infos := make([]TargetInfo, len(n.cfg.Targets))
	for i, t := range n.cfg.Targets {
		infos[i] = TargetInfo{t.Name, t.host(), t.Format, t.Secret != "", t.Events, t.Scripts, t.Schedules}
	}
	return infos
}

// Delivery is one message and what became of it.
type Delivery struct {
	ID       string    `json:"id"` // the header webhook-id
	Target   string    `json:"target"`
	Event    Kind      `json:"event"`
	Subject  string    `json:"subject"` // schedule@slot, or a run
	State    string    `json:"state"`   // pending, delivered, failed
	Attempts int       `json:"attempts"`
	Status   int       `json:"status,omitempty"`
	Error    string    `json:"error,omitempty"`
	At       time.Time `json:"at"`
	Next     time.Time `json:"next_at,omitzero"` // while it is pending
	Done     time.Time `json:"done_at,omitzero"`
}

// Deliveries lists the last messages on the app's database, newest first.
func (n *Notifier) Deliveries(ctx context.Context, limit int) ([]Delivery, error) {
	var all []Delivery
	err := n.app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
		found, err := store.New(db).Notifications(ctx, n.database(), limit)
		for _, f := range found {
			d := Delivery{
				ID: messageID(f.ID), Target: f.Target, Event: Kind(f.Kind), Subject: f.Subject, State: f.State, Attempts: f.Attempts,
				Status: f.Status, Error: redact.Text(f.Error), At: f.At, Done: f.DoneAt,
			}
			if f.State == store.NotificationPending {
				d.Next = f.DueAt
			}
			all = append(all, d)
		}
		return err
	})
	return all, err
}
