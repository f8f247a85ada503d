package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// answers are what a server may answer to any command in place of success: the codes of errors that the network, locks, elections,
// snapshots, rights, disks, caches and people make. What they have in common is that no document is to blame.
var answers = []int{
	1, 2, 6, 7, 8, 9, 13, 14, 18, 20, 24, 26, 27, 43, 46, 50, 59, 64, 72, 79, 89, 91, 96, 100, 112, 115, 117, 125, 133, 134, 136, 146, 166, 175, 189,
	202, 211, 225, 237, 238, 239, 246, 251, 257, 262, 263, 267, 279, 280, 286, 290, 291, 292, 317, 358, 388, 391, 9001, 10003, 10058, 10107,
	11600, 11601, 11602, 13388, 13435, 13436, 14031, 17280, 17287, 20280,
}

// troubled is a backfill that has a fault while it is under way: the server, and what is done to it.
type troubled struct {
	server *embedded.Server
	admin  *mongo.Client
	app    *rikki.App
	things *mongo.Collection
	at     chan struct{} // is closed when some documents are done
	let    chan struct{} // lets the function go on
}

func (d *troubled) fail(t *testing.T, mode any, data bson.D) {
	t.Helper()
	doc := bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}}
	if data != nil {
		doc = append(doc, bson.E{Key: "data", Value: append(data, bson.E{Key: "appName", Value: "rikki-scripted"})})
	}
	if err := d.admin.Database("admin").RunCommand(t.Context(), doc).Err(); err != nil {
		t.Fatal(err)
	}
}

// onItsOwn has a backfill of a hundred documents, in chunks of ten by one worker, that stops at the 45th until it is let.
func onItsOwn(t *testing.T, server *embedded.Server, script func(opts backfill.Options, change func(context.Context, bson.Raw) (backfill.Change, error)) rikki.Script) *troubled {
	t.Helper()
	d := &troubled{server: server, at: make(chan struct{}), let: make(chan struct{})}
	var err error
	if d.admin, err = mongo.Connect(options.Client().ApplyURI(server.URI()).SetAppName("admin")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.admin.Disconnect(context.WithoutCancel(t.Context())) })
	name := mongotest.Name(t)
	d.things = d.admin.Database(name).Collection("things")
	numbered(t, d.things, 100)
	waited := false
	opts := backfill.Options{Collection: "things", Chunk: 10, Workers: 1, Patience: time.Second, Gentle: backfill.GentleNever}
	d.app = rikki.New(&rikki.Config{
		Conn: conn.Config{URI: server.URI(), Database: name, HeartbeatInterval: 500 * time.Millisecond}, HistoryDatabase: name + "_history",
	}).MustAdd(script(opts, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").AsInt64() == 45 && !waited {
			waited = true
			close(d.at)
			<-d.let
		}
		return increment(ctx, doc)
	}))
	t.Cleanup(func() {
		if err := d.app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return d
}

// during runs the backfill, with something that happens in the middle of it.
func (d *troubled) during(t *testing.T, happens func()) (*rikki.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var result *rikki.Result
	ended := make(chan error, 1)
	go func() {
		var err error
		result, err = d.app.Run(ctx, "scripted", nil)
		ended <- err
	}()
	select {
	case <-d.at:
		happens()
		close(d.let)
	case err := <-ended:
		t.Fatalf("it ended before: %+v, %v", result, err)
	}
	err := <-ended
	if ctx.Err() != nil {
		t.Fatalf("it has no end: %v", err)
	}
	return result, err
}

// resumes demands that the run has paused and says why, goes on at its cursors once the trouble is over, and has done nothing twice.
func (d *troubled) resumes(t *testing.T, result *rikki.Result, err error, why string) {
	t.Helper()
	if result == nil || result.State != rikki.Paused || !errors.Is(err, rikki.ErrPaused) || !strings.Contains(err.Error(), why) {
		t.Fatalf("%+v, %v; want it paused, because of %q", result, err, why)
	}
	record, recordErr := d.app.Record(t.Context(), result.Run)
	if recordErr != nil || record.State != rikki.Paused || record.Error == nil || !strings.Contains(record.Error.Message, why) {
		t.Errorf("the record says %+v (%v)", record.Error, recordErr)
	}
	if failures := failuresOf(t, d.app, result.Run); len(failures) > 0 {
		t.Errorf("documents were blamed: %+v", failures)
	}
	if _, err := d.app.Retry(t.Context(), result.Run, nil); !errors.Is(err, rikki.ErrState) {
		t.Errorf("a retry of it: %v", err)
	}
	if result, err = d.app.Continue(t.Context(), result.Run, nil); err != nil {
		t.Fatalf("it doesn't go on: %+v, %v", result, err)
	}
	if s, ok := result.Value.(*backfill.Summary); !ok || s.Matched != 100 || s.Changed != 100 || s.Failed != 0 {
		t.Errorf("summary %+v", result.Value)
	}
	once(t, d.things, 100)
}

// Whatever the server answers to whatever command of a chunk, once: the run goes on. For ever: it ends in bounded time, pauses, names
// what was answered, blames no document, and is resumed at its cursors. Nothing is done twice.
func TestWhateverTheServerAnswersARunHasAnExit(t *testing.T) { //nolint:tparallel // one after another: they share a server's fail point
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	commands := []string{"find", "update", "insert", "commitTransaction"}
	step := 11 // all of them take minutes
	if os.Getenv("RIKKI_FAULTS") != "" {
		step = 1
	}
	for i := 0; i < len(answers); i += step {
		code, command := answers[i], commands[i/step%len(commands)]
		t.Run(fmt.Sprintf("%d/%s", code, command), func(t *testing.T) { //nolint:paralleltest // a server has one such fail point
			d := onItsOwn(t, server, function)
			fault := bson.D{{Key: "failCommands", Value: bson.A{command}}, {Key: "errorCode", Value: code}}
			result, err := d.during(t, func() { d.fail(t, bson.D{{Key: "times", Value: 1}}, fault) })
			lasting := []int{13, 20, 73, 121, 166, 263, 11000, 14031} // nobody tries these again
			switch {
			case errors.Is(err, rikki.ErrPaused) && slices.Contains(lasting, code):
				d.resumes(t, result, err, "Failing command")
			case err != nil:
				t.Fatalf("once: %+v, %v", result, err)
			default:
				once(t, d.things, 100)
			}
			d.fail(t, "off", nil)

			if command == "commitTransaction" && step > 1 {
				return // each attempt takes as long as a commit is asked about
			}
			d = onItsOwn(t, server, function)
			result, err = d.during(t, func() { d.fail(t, "alwaysOn", fault) })
			d.fail(t, "off", nil)
			why := "Failing command"
			if command == "commitTransaction" {
				why = "tried" // the driver may have nothing to tell but that time was over
			}
			d.resumes(t, result, err, why)
		})
	}
	for _, command := range commands {
		if command == "commitTransaction" && step > 1 {
			continue
		}
		t.Run("Closed/"+command, func(t *testing.T) { //nolint:paralleltest // a server has one such fail point
			d := onItsOwn(t, server, function)
			fault := bson.D{{Key: "failCommands", Value: bson.A{command}}, {Key: "closeConnection", Value: true}}
			result, err := d.during(t, func() { d.fail(t, "alwaysOn", fault) })
			d.fail(t, "off", nil)
			d.resumes(t, result, err, "tried")
		})
	}
}

// Things that people do to a collection while it is walked. The run pauses, says what it is, and goes on once that is mended.
func TestWhatIsTakenAwayInTheMiddlePausesTheRun(t *testing.T) {
	t.Parallel()
	t.Run("TheIndexOfTheKey", func(t *testing.T) {
		t.Parallel()
		server := mongotest.Dedicated(t, nil)
		index := mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true)}
		d := onItsOwn(t, server, func(opts backfill.Options, change func(context.Context, bson.Raw) (backfill.Change, error)) rikki.Script {
			opts.Key = "k"
			return function(opts, change)
		})
		if _, err := d.things.UpdateMany(t.Context(), bson.D{}, mongo.Pipeline{set("k", "$_id")}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.things.Indexes().CreateOne(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		dropped := make(chan error, 1)
		result, err := d.during(t, func() { // it waits until the chunk is over
			go func() { dropped <- d.things.Indexes().DropOne(t.Context(), "k_1") }()
		})
		if dropErr := <-dropped; dropErr != nil {
			t.Fatal(dropErr)
		}
		if err == nil { // it was faster than the drop
			t.Skip("the run was over before the index was dropped")
		}
		if again, err := d.app.Continue(t.Context(), result.Run, nil); again == nil || again.State != rikki.Paused {
			t.Errorf("resumed without the index: %+v, %v", again, err)
		}
		if _, err := d.things.Indexes().CreateOne(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		d.resumes(t, result, err, "index")
	})
}

// Rikki's own collections can become unwritable in the middle, too: that is nobody's fault, and over once it is mended.
func TestCollectionsOfRikkiThatBecomeUnwritablePauseTheRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"journal", "failures"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things, history := db.Collection("things"), db.Client().Database(db.Name()+"_history")
			numbered(t, things, 100)
			broken := false
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1, MaxFailures: 1000}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
				switch id := doc.Lookup("_id").AsInt64(); {
				case id == 45 && !broken:
					broken = true
					// A validator that nothing passes.
					if err := history.RunCommand(context.WithoutCancel(t.Context()), bson.D{{Key: "collMod", Value: name}, {Key: "validator", Value: bson.D{{Key: "never", Value: 1}}}}).Err(); err != nil {
						history.CreateCollection(t.Context(), name, options.CreateCollection().SetValidator(bson.D{{Key: "never", Value: 1}})) //nolint:errcheck // the run will tell
					}
				case id%10 == 7 && name == "failures":
					return backfill.None(), errors.New("not this one")
				}
				return increment(ctx, doc)
			}))
			result, err := app.Run(t.Context(), "scripted", nil)
			if result == nil || result.State != rikki.Paused || !strings.Contains(err.Error(), name) {
				t.Fatalf("%+v, %v", result, err)
			}
			if err := history.RunCommand(t.Context(), bson.D{{Key: "collMod", Value: name}, {Key: "validator", Value: bson.D{}}}).Err(); err != nil {
				t.Fatal(err)
			}
			result, err = app.Continue(t.Context(), result.Run, nil)
			want := int64(100)
			if name == "failures" {
				want = 90
				if !isPartial(err, 10) {
					t.Fatalf("%+v, %v", result, err)
				}
			} else if err != nil {
				t.Fatalf("%+v, %v", result, err)
			}
			counted(t, things, want)
		})
	}
}

// What the script does wrong fails the run. It can be resumed at its cursors, never be retried as a whole, and not be resumed any more
// once somebody has begun to undo it.
func TestARunThatFailedHalfWayGoesOnAtItsCursors(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*mongo.Collection, *rikki.App, *bool, string) {
		t.Helper()
		db := rikkitest.DB(t)
		numbered(t, db.Collection("things"), 60)
		wrong := true
		app := rikkitest.App(t, db, backfill.NewBatch[bson.Raw](&batched{
			backfill.Options{Collection: "things", Chunk: 10, Workers: 1},
			func(ctx context.Context, docs []bson.Raw) (changes []backfill.Change, _ error) {
				if wrong && docs[0].Lookup("_id").AsInt64() >= 30 {
					return nil, nil // too few
				}
				for _, doc := range docs {
					change, err := increment(ctx, doc)
					if err != nil {
						return nil, err
					}
					changes = append(changes, change)
				}
				return changes, nil
			},
		}))
		result, err := app.Run(t.Context(), "batched", nil)
		if result == nil || result.State != rikki.Failed || !result.HalfWay || err == nil {
			t.Fatalf("%+v, %v", result, err)
		}
		record, err := app.Record(t.Context(), result.Run)
		if err != nil || !record.HalfWay {
			t.Errorf("the record doesn't know: %+v, %v", record, err)
		}
		counted(t, db.Collection("things"), 30)
		if _, err := app.Retry(t.Context(), result.Run, nil); !errors.Is(err, rikki.ErrState) || !strings.Contains(err.Error(), "runs resume") {
			t.Errorf("a retry of it: %v", err)
		}
		return db.Collection("things"), app, &wrong, result.Run
	}
	t.Run("Resumed", func(t *testing.T) {
		t.Parallel()
		things, app, wrong, run := start(t)
		if again, err := app.Continue(t.Context(), run, nil); again == nil || again.State != rikki.Failed || !again.HalfWay {
			t.Errorf("resumed as it was: %+v, %v", again, err)
		}
		*wrong = false
		if result, err := app.Continue(t.Context(), run, nil); err != nil {
			t.Fatalf("%+v, %v", result, err)
		}
		once(t, things, 60)
		if _, err := app.Retry(t.Context(), run, nil); !errors.Is(err, rikki.ErrState) {
			t.Errorf("a retry of what has succeeded: %v", err)
		}
	})
	t.Run("Undone", func(t *testing.T) {
		t.Parallel()
		things, app, wrong, run := start(t)
		*wrong = false
		if _, err := backfill.Undo(t.Context(), app, run, nil); err != nil {
			t.Fatal(err)
		}
		counted(t, things, 0)
		if result, err := app.Continue(t.Context(), run, nil); !errors.Is(err, rikki.ErrState) {
			t.Errorf("resumed behind its undo: %+v, %v", result, err)
		}
		queued, err := app.Retry(t.Context(), run, nil) // nothing of it is there any more
		if err != nil {
			t.Fatal(err)
		}
		if result, err := app.Continue(t.Context(), queued.ID, nil); err != nil {
			t.Fatalf("%+v, %v", result, err)
		}
		once(t, things, 60)
	})
}

// An answer that comes once blames nobody, also where a document is alone in its chunk.
func TestAnAnswerThatComesOnceBlamesNobody(t *testing.T) { //nolint:tparallel // one after another: they share a server's fail point
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	for _, code := range []int{1, 8, 96, 211} {
		t.Run(fmt.Sprint(code), func(t *testing.T) { //nolint:paralleltest // a server has one such fail point
			d := onItsOwn(t, server, func(opts backfill.Options, change func(context.Context, bson.Raw) (backfill.Change, error)) rikki.Script {
				opts.Chunk = 1
				return function(opts, change)
			})
			result, err := d.during(t, func() {
				d.fail(t, bson.D{{Key: "times", Value: 1}}, bson.D{{Key: "failCommands", Value: bson.A{"find"}}, {Key: "errorCode", Value: code}})
			})
			if err != nil || len(failuresOf(t, d.app, result.Run)) > 0 {
				t.Fatalf("%+v, %v", result, err)
			}
			once(t, d.things, 100)
		})
	}
}

// What the server refuses whatever the document is no document's fault: the run pauses, and nobody is passed by.
func TestNoDocumentIsBlamedForWhatIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	d := onItsOwn(t, server, func(opts backfill.Options, change func(context.Context, bson.Raw) (backfill.Change, error)) rikki.Script {
		opts.MaxFailures, opts.Stages = 1000, []bson.D{set("m", 1)} // which are read by another command than the chunk's bounds
		return function(opts, change)
	})
	result, err := d.during(t, func() {
		d.fail(t, "alwaysOn", bson.D{{Key: "failCommands", Value: bson.A{"aggregate"}}, {Key: "errorCode", Value: 8}})
	})
	d.fail(t, "off", nil)
	d.resumes(t, result, err, "Failing command")
}

// A commit that could not be sent, since nobody could be reached, leaves the driver with its transaction. The run goes on all the same.
func TestACommitThatWasNeverSentIsNotTheEnd(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	d := onItsOwn(t, server, function)
	result, err := d.during(t, func() { // the driver takes the server for gone, and asks for another one
		d.fail(t, bson.D{{Key: "times", Value: 4}}, bson.D{{Key: "failCommands", Value: bson.A{"commitTransaction"}}, {Key: "errorCode", Value: 11602}})
	})
	d.fail(t, "off", nil)
	if err != nil && !errors.Is(err, rikki.ErrPaused) {
		t.Fatalf("%+v, %v", result, err)
	}
	if err != nil {
		d.resumes(t, result, err, "commit")
	}
	once(t, d.things, 100)
}

// A commit for which nobody could be reached in time leaves the driver's session in its transaction. The run goes on in another one.
func TestACommitWithoutAnswerInTimeIsNotTheEnd(t *testing.T) {
	t.Parallel()
	d := onItsOwn(t, mongotest.Dedicated(t, nil), function)
	result, err := d.during(t, func() { // the driver takes the server for gone, and looks for another one
		d.fail(t, "alwaysOn", bson.D{{Key: "failCommands", Value: bson.A{"commitTransaction"}}, {Key: "errorCode", Value: 7}})
	})
	d.fail(t, "off", nil)
	d.resumes(t, result, err, "tried")
}
