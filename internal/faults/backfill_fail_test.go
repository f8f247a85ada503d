//go:build linux

package faults_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// commands are those that a chunk sends.
var commands = []string{"find", "aggregate", "getMore", "update", "insert", "delete", "findAndModify", "commitTransaction", "abortTransaction"}

const (
	transient = "TransientTransactionError"
	retryable = "RetryableWriteError"
)

// Cases 1 to 7: what servers answer in place of success, or beside it.
var failures = []struct {
	name  string
	fault faultrig.Fault
	least int // how often it must have happened
}{
	{"CommitUnknownOnce", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 1, WriteConcern: 64}, 1},
	{"CommitUnknownFiveTimes", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 5, WriteConcern: 64}, 5},
	{"CommitAppliedAndShuttingDown", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 3, WriteConcern: 91}, 3},
	{"CommitAppliedAndUnlabelled", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 5, WriteConcern: 100}, 5},
	{"CommitCutBefore", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 1, Close: true}, 1},
	{"CommitCutBeforeFourTimes", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 4, Close: true}, 4},
	{"CommitRefused", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 3, Code: 251, Labels: []string{transient}}, 3},
	{"CommitOutOfTime", faultrig.Fault{Commands: []string{"commitTransaction"}, Times: 3, Code: 50}, 3},
	{"WriteConflicts", faultrig.Fault{Commands: []string{"update"}, Times: 5, Code: 112, Labels: []string{transient}}, 5},
	{"NotPrimary", faultrig.Fault{Commands: []string{"update", "find", "aggregate"}, Times: 3, Code: 10107, Labels: []string{transient}}, 3},
	{"NotPrimaryWithoutLabel", faultrig.Fault{Commands: []string{"update"}, Times: 3, Code: 10107, Labels: []string{}}, 3},
	{"InterruptedByStepDown", faultrig.Fault{Commands: []string{"insert", "update"}, Times: 3, Code: 11602, Labels: []string{transient}}, 3},
	{"HostUnreachable", faultrig.Fault{Commands: []string{"find", "aggregate", "update"}, Times: 3, Code: 6}, 3},
	{"HostNotFoundRetryable", faultrig.Fault{Commands: []string{"update"}, Times: 2, Code: 7, Labels: []string{retryable, transient}}, 2},
	{"NetworkTimeout", faultrig.Fault{Commands: []string{"find", "update"}, Times: 3, Code: 89}, 3},
	{"SnapshotTooOld", faultrig.Fault{Commands: []string{"find", "aggregate"}, Times: 2, Code: 239, Labels: []string{transient}}, 2},
	{"LockTimeout", faultrig.Fault{Commands: []string{"update"}, Times: 3, Code: 24, Labels: []string{transient}}, 3},
	{"LifetimeExceeded", faultrig.Fault{Commands: []string{"update"}, Times: 3, Code: 290, Labels: []string{transient}}, 3},
	{"TooLargeForCache", faultrig.Fault{Commands: []string{"update"}, Times: 3, Code: 388}, 3},
	{"WritesCut", faultrig.Fault{Commands: []string{"update", "insert"}, Times: 6, Close: true}, 6},
	{"AnythingCutNowAndThen", faultrig.Fault{Commands: commands, Probability: 0.1, Close: true}, 1},
	{"CommitsUnknownNowAndThen", faultrig.Fault{Commands: []string{"commitTransaction"}, Probability: 0.3, WriteConcern: 100}, 1},
	{"WritesAndAbortsCut", faultrig.Fault{Commands: []string{"update", "abortTransaction"}, Times: 6, Close: true}, 6},
}

func TestBackfillSurvivesWhatServersAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"marks", "pipes"} {
		for _, f := range failures {
			t.Run(kind+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				for range rounds(t, 1) {
					answerBadly(t, kind, f.fault, f.least, true)
				}
			})
		}
	}
	for i, f := range failures {
		if i%3 != 0 && rounds(t, 1) == 1 {
			continue // all of them take a while
		}
		t.Run("planning/"+f.name, func(t *testing.T) {
			t.Parallel()
			answerBadly(t, "marks", f.fault, min(f.least, 1), false)
		})
	}
}

// answerBadly has a fault happen from the first chunk on, or from the beginning. One that strikes by chance may spare a whole run, and
// a run may be over before this process, on a busy machine, has set the fault; then there is another one.
func answerBadly(t *testing.T, kind string, fault faultrig.Fault, least int, walking bool) {
	t.Helper()
	for tries := 1; ; tries++ {
		n := runBeside(t, kind, fault, walking)
		if n >= least {
			return
		}
		if tries == 20 {
			t.Fatalf("the fault happened %d times in the last of %d runs, and should have %d times", n, tries, least)
		}
	}
}

// runBeside runs a backfill beside a fault and returns how often that happened.
func runBeside(t *testing.T, kind string, fault faultrig.Fault, walking bool) (happened int) {
	t.Helper()
	const docs = 150
	s := onShared(t)
	s.URI += "&heartbeatFrequencyMS=500"
	coll := s.seed(t, "docs", docs)
	before := hash(t, coll)
	app := s.own(t, nil)
	fault.AppName = s.AppName + "-" + kind
	harmless := faultrig.Fault{Commands: []string{"ping"}, AppName: "nobody", Code: 1}
	set := faultrig.FailCommand(t, mongotest.Client(t), harmless)
	if !walking {
		set.Become(t, fault)
	}
	var result *rikki.Result
	ended := make(chan error, 1)
	go func() {
		var err error
		result, err = app.Run(t.Context(), kind, &rikki.RunOptions{Params: marks("docs", 10, map[string]any{"rate": 300})})
		ended <- err
	}()
	if walking {
		faultrig.Eventually(t, time.Minute, "the plan", func(ctx context.Context) (bool, error) {
			n, err := s.client.Database(s.history()).Collection("partitions").CountDocuments(ctx, bson.D{{Key: "planned", Value: true}})
			return n > 0, err
		})
		set.Become(t, fault)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the run ended with %v", err)
	}
	happened = set.Off()
	s.audit(t, coll, result.Run, docs)
	s.undo(t, coll, result.Run, before)
	return happened
}

// A server that is gone at the moment when a backfill opens its own connections is waited for.
func TestBackfillWaitsForItsConnections(t *testing.T) {
	t.Parallel()
	const docs, refusals = 50, 14 // one every half a second at most; opening takes 5 s until it gives up
	s := onShared(t)
	s.URI += "&heartbeatFrequencyMS=500"
	coll := s.seed(t, "docs", docs)
	before, app := hash(t, coll), s.own(t, nil)
	fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{
		Commands: []string{"hello", "isMaster"}, AppName: s.AppName + "-marks", Times: refusals, Close: true,
	})
	began := time.Now()
	result, err := app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 10, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if n := fault.Off(); n != refusals || time.Since(began) < 5*time.Second {
		t.Errorf("%d connections were refused, and the run took %s: the fault did not happen", n, time.Since(began))
	}
	s.audit(t, coll, result.Run, docs)
	s.undo(t, coll, result.Run, before)
}

// own is an app of the test's own process that faults are meant for.
func (s *scene) own(t testing.TB, routes *faultrig.Routes) *rikki.App {
	t.Helper()
	app, err := s.place.app(routes, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := app.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return app
}

// Case 2 to its end: nobody knows about a commit for as long as the engine asks, and then the cursor tells.
func TestBackfillLooksWhenTheCommitStaysUnknown(t *testing.T) {
	t.Parallel()
	if rounds(t, 1) == 1 {
		t.Skip("takes 20 s; set " + roundsEnv)
	}
	s := onShared(t)
	coll := s.seed(t, "docs", 50)
	app := s.own(t, nil)
	fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{
		Commands: []string{"commitTransaction"}, AppName: s.AppName + "-marks", Skip: 2, WriteConcern: 64, Block: 200 * time.Millisecond,
	})
	ended := make(chan error, 1)
	var run string
	go func() {
		result, err := app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 10, map[string]any{"workers": 1})})
		if result != nil {
			run = result.Run
		}
		ended <- err
	}()
	fault.Await(t, 110) // more than 20 s
	fault.Off()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.audit(t, coll, run, 50)
}

// Negative control, fact V5: whoever does a transaction again because its commit has answered with an error does it twice.
func TestDoingACommitAgainIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	coll := s.seed(t, "docs", 1)
	client := faultrig.Connect(t, s.URI, func(o *options.ClientOptions) { o.SetAppName("naive") })
	fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{Commands: []string{"commitTransaction"}, AppName: "naive", Times: 1, WriteConcern: 100})
	chunk := func() error {
		session, err := client.StartSession()
		if err != nil {
			return err
		}
		defer session.EndSession(t.Context())
		_, err = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
			return client.Database(s.Database).Collection("docs").UpdateByID(ctx, 0, bson.D{
				{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Token: 1}}}},
			})
		})
		return err
	}
	var concern mongo.CommandError
	if err := chunk(); err == nil || errors.As(err, &concern) && concern.HasErrorLabel(transient) {
		t.Fatalf("the commit answered %v", err)
	}
	if err := chunk(); err != nil { // the mistake
		t.Fatal(err)
	}
	if n := fault.Off(); n != 1 {
		t.Errorf("the fault happened %d times", n)
	}
	if err := faultrig.CheckExactlyOnce(t.Context(), coll, 1); err == nil {
		t.Error("a document was done twice and nobody noticed")
	}
}
