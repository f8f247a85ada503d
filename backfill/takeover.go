package backfill

import (
	"context"
	"errors"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// takeOver makes a run's partitions those of an epoch, so that no earlier owner changes anything any more. What earlier owners
// left open at the server is ended first: a process that was killed or stands still would hold its locks for up to a minute.
func takeOver(ctx context.Context, client *mongo.Client, walk *store.Walk, epoch int64, log *slog.Logger) (store.Plan, error) {
	// One that died in the middle of planning holds the plan itself.
	sessions, err := walk.Sessions(ctx)
	if err != nil {
		return store.Plan{}, err
	}
	endSessions(ctx, client, sessions, epoch, log)
	plan, err := walk.Take(ctx)
	if errors.Is(err, store.ErrLeaseLost) {
		return plan, rikki.ErrLeaseLost
	}
	if err != nil || !plan.Planned {
		return plan, err
	}
	// From here on an earlier owner notes no more of them.
	if endSessions(ctx, client, plan.Sessions, epoch, log) > 0 {
		if err := walk.Forget(ctx); err != nil {
			return plan, err
		}
	}
	return plan, walk.TakePartitions(ctx)
}

// endSessions ends those of earlier epochs, with their transactions, and returns how many there are.
func endSessions(ctx context.Context, client *mongo.Client, sessions []store.WalkSession, epoch int64, log *slog.Logger) int {
	var earlier bson.A
	for _, s := range sessions {
		if s.Epoch < epoch {
			earlier = append(earlier, bson.D{{Key: "id", Value: s.ID}})
		}
	}
	if len(earlier) == 0 {
		return 0
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "killSessions", Value: earlier}}).Err(); err != nil {
		log.Warn("transactions of an earlier attempt may stay open for up to a minute", "error", err)
	}
	return len(earlier)
}

// takeOver makes the partitions this owner's.
func (e *engine) takeOver(ctx context.Context) (store.Plan, error) {
	return takeOver(ctx, e.client, e.walk, e.run.Epoch(), e.log)
}

// note tells later owners of the session, so that they can end what it leaves open.
func (e *engine) note(ctx context.Context, session *mongo.Session) error {
	subtype, data, ok := session.ID().Lookup("id").BinaryOK()
	if !ok {
		return errors.New("the driver's session has no id")
	}
	return e.tryAgain(ctx, func() error { return e.walk.Note(ctx, bson.Binary{Subtype: subtype, Data: data}) })
}
