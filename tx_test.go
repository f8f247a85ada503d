package rikki_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// txBundle runs a function as a script on a server whose faults concern its
// test alone.
type txBundle struct {
	server *embedded.Server
	users  *mongo.Collection
	logs   []string
	client conn.Config
}

func newTxBundle(t *testing.T) *txBundle {
	t.Helper()
	server := mongotest.Server(t)
	name := mongotest.Name(t)
	return &txBundle{
		server: server, users: mongotest.DB(t).Collection("users"),
		client: conn.Config{URI: server.URI(), AppName: name, HeartbeatInterval: 500 * time.Millisecond},
	}
}

func (b *txBundle) run(t *testing.T, fn func(context.Context, *rikki.Run, *mongo.Collection) error) error {
	t.Helper()
	b.client.Database = b.users.Database().Name()
	app := rikki.New(&rikki.Config{Conn: b.client, NoHistory: true, Observers: []rikki.Observer{
		rikki.ObserverFunc(func(e rikki.Event) {
			if e.Log != nil {
				b.logs = append(b.logs, e.Log.Message)
			}
		}),
	}}).MustAdd(rikki.Func("tx", func(ctx context.Context, run *rikki.Run) (any, error) {
		return nil, fn(ctx, run, run.DB().Collection("users"))
	}))
	defer closeApp(t, app)
	_, err := app.Run(t.Context(), "tx", &rikki.RunOptions{Timeout: 30 * time.Second})
	return err
}

// fail lets the server fail commands of this test's client.
func (b *txBundle) fail(t *testing.T, times int, data bson.D) {
	t.Helper()
	mode := any(bson.D{{Key: "times", Value: times}})
	if times < 0 {
		mode = "alwaysOn"
	}
	data = append(data, bson.E{Key: "appName", Value: b.client.AppName})
	if err := b.server.FailPoint(t.Context(), bson.D{
		{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}, {Key: "data", Value: data},
	}); err != nil {
		t.Fatal(err)
	}
}

func (b *txBundle) count(t *testing.T, filter bson.D) int64 {
	t.Helper()
	n, err := b.users.CountDocuments(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var one = bson.D{{Key: "_id", Value: 1}}

func insertOne(ctx context.Context, users *mongo.Collection) error {
	_, err := users.InsertOne(ctx, one)
	return err
}

// The tests share the fail point of one server, so they run one after the other.
//
//nolint:paralleltest // see above
func TestTx(t *testing.T) {
	t.Run("CommitsWhatItsContextDid", func(t *testing.T) {
		b := newTxBundle(t)
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error { return insertOne(ctx, users) })
		})
		if err != nil || b.count(t, one) != 1 {
			t.Fatalf("error %v, %d documents", err, b.count(t, one))
		}
	})
	t.Run("AbortsOnAnErrorAndReturnsIt", func(t *testing.T) {
		b, boom := newTxBundle(t), errors.New("boom")
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error { return errors.Join(insertOne(ctx, users), boom) })
		})
		if !errors.Is(err, boom) || b.count(t, one) != 0 {
			t.Fatalf("error %v, %d documents", err, b.count(t, one))
		}
	})
	t.Run("RefusesANestedOne", func(t *testing.T) {
		err := newTxBundle(t).run(t, func(ctx context.Context, run *rikki.Run, _ *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error {
				return run.Tx(ctx, func(context.Context) error { return nil })
			})
		})
		if !errors.Is(err, rikki.ErrNestedTx) {
			t.Fatalf("error %v", err)
		}
	})
	t.Run("ReturnsAnErrorThatTheFunctionSwallowed", func(t *testing.T) {
		b, calls := newTxBundle(t), 0
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			if err := insertOne(ctx, users); err != nil {
				return err
			}
			return run.Tx(ctx, func(ctx context.Context) error {
				calls++
				_ = insertOne(ctx, users) // a duplicate key ends the transaction
				return nil
			})
		})
		if !mongo.IsDuplicateKeyError(err) || calls != 1 {
			t.Fatalf("error %v after %d calls; want the duplicate key after one", err, calls)
		}
	})
	t.Run("KeepsTheFirstErrorOfSeveral", func(t *testing.T) {
		b, calls := newTxBundle(t), 0
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			if err := insertOne(ctx, users); err != nil {
				return err
			}
			return run.Tx(ctx, func(ctx context.Context) error {
				calls++
				_ = insertOne(ctx, users)
				_, err := users.InsertOne(ctx, bson.D{{Key: "_id", Value: 2}}) // no transaction any more
				return err
			})
		})
		if !mongo.IsDuplicateKeyError(err) || calls != 1 {
			t.Fatalf("error %v after %d calls; want the duplicate key after one", err, calls)
		}
	})
	t.Run("TriesAgainAfterATransientErrorWithOneEffect", func(t *testing.T) {
		b, calls := newTxBundle(t), 0
		b.fail(t, 3, bson.D{
			{Key: "failCommands", Value: bson.A{"insert"}},
			{Key: "errorCode", Value: 112},
			{Key: "errorLabels", Value: bson.A{"TransientTransactionError"}},
		})
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error { calls++; return insertOne(ctx, users) })
		})
		if err != nil || calls != 4 || b.count(t, bson.D{}) != 1 {
			t.Fatalf("error %v, %d calls, %d documents; want 4 calls and 1 document", err, calls, b.count(t, bson.D{}))
		}
	})
	t.Run("GivesUpOnWhatStaysTransient", func(t *testing.T) {
		b, calls := newTxBundle(t), 0
		b.fail(t, -1, bson.D{
			{Key: "failCommands", Value: bson.A{"insert"}},
			{Key: "errorCode", Value: 112},
			{Key: "errorLabels", Value: bson.A{"TransientTransactionError"}},
		})
		defer b.off(t)
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error { calls++; return insertOne(ctx, users) })
		})
		if err == nil || calls != 20 || !strings.Contains(err.Error(), "tried 20 times") {
			t.Fatalf("error %v after %d calls; want it to give up after 20", err, calls)
		}
	})
	t.Run("DoesNotRunAgainWhenOnlyTheAnswerToTheCommitIsLost", func(t *testing.T) {
		b, calls := newTxBundle(t), 0
		b.fail(t, 2, bson.D{
			{Key: "failCommands", Value: bson.A{"commitTransaction"}},
			{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 91}, {Key: "errmsg", Value: "shutting down"}}},
		})
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error { calls++; return insertOne(ctx, users) })
		})
		if err != nil || calls != 1 || b.count(t, one) != 1 {
			t.Fatalf("error %v, %d calls, %d documents", err, calls, b.count(t, one))
		}
	})
	t.Run("SaysThatItDoesNotKnowWhenNoAnswerToTheCommitComes", func(t *testing.T) {
		b, calls := newTxBundle(t), 0
		b.client.Timeout = 2 * time.Second
		b.fail(t, -1, bson.D{
			{Key: "failCommands", Value: bson.A{"commitTransaction"}},
			{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 64}, {Key: "errmsg", Value: "waiting"}}},
		})
		defer b.off(t)
		err := b.run(t, func(ctx context.Context, run *rikki.Run, users *mongo.Collection) error {
			return run.Tx(ctx, func(ctx context.Context) error { calls++; return insertOne(ctx, users) })
		})
		if !errors.Is(err, rikki.ErrCommitUnknown) || calls != 1 {
			t.Fatalf("error %v after %d calls; want ErrCommitUnknown after one", err, calls)
		}
		if b.count(t, one) != 1 {
			t.Fatal("the fault did not happen: the data must be there, and Tx not know it")
		}
	})
	t.Run("ReportsAWriteThatForgotTheContext", func(t *testing.T) {
		b := newTxBundle(t)
		err := b.run(t, func(outer context.Context, run *rikki.Run, users *mongo.Collection) error {
			if _, err := users.InsertOne(outer, bson.D{{Key: "_id", Value: "the collection exists"}}); err != nil {
				return err
			}
			return run.Tx(outer, func(ctx context.Context) error {
				if err := insertOne(ctx, users); err != nil {
					return err
				}
				_, err := users.InsertOne(outer, bson.D{{Key: "_id", Value: "stray"}})
				return err
			})
		})
		if err != nil || !strings.Contains(strings.Join(b.logs, "\n"), "beside the transaction") {
			t.Fatalf("error %v, logs %q; want the write reported", err, b.logs)
		}
	})
}

func (b *txBundle) off(t *testing.T) {
	t.Helper()
	if err := b.server.FailPoint(t.Context(), bson.D{
		{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: "off"},
	}); err != nil {
		t.Fatal(err)
	}
}
