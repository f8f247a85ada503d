package rikkitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
)

// ChaosOptions says how [Chaos] treats a script.
type ChaosOptions struct {
	// Seed fills a database. It is called for two of them and must put the same
	// into both.
	Seed func(ctx context.Context, db *mongo.Database) error

	// Params are the script's, as in [rikki.RunOptions].
	Params map[string]any

	// Kills is how often a process is killed at most. Default 10.
	Kills int

	// Ignore are top-level fields that differ by nature, such as times.
	Ignore []string
}

// Chaos tells whether a resumable script, such as a backfill, survives to be
// killed. It runs the script twice on equal databases: undisturbed in this
// process, and in processes of their own that are killed at random moments
// (SIGKILL), each going on where the last one was killed. Then both databases
// must be equal, document by document and byte by byte.
//
// The processes are this test binary again, which runs the calling test up to
// the call of Chaos. So what comes before the call happens in them too; what
// the script shall find belongs into [ChaosOptions.Seed].
//
// Chaos fails if no kill hit the script at work: then there must be more to do.
func Chaos(t *testing.T, script rikki.Script, opts ChaosOptions) {
	t.Helper()
	if task := os.Getenv(chaosEnv); task != "" {
		if err := chaosChild(t.Context(), script, opts, task); err != nil {
			t.Fatal(err)
		}
		t.SkipNow() // what follows is the parent's
	}
	c := &chaos{opts: opts, rand: rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))} //nolint:gosec // it shall be by chance, not secret
	if c.opts.Kills == 0 {
		c.opts.Kills = defaultKills
	}
	control, shaken := DB(t), DB(t)
	for _, db := range []*mongo.Database{control, shaken} {
		if err := opts.Seed(t.Context(), db); err != nil {
			t.Fatal("seeding: ", err)
		}
	}
	began := time.Now()
	result, err := Try(t, control, script, &rikki.RunOptions{Params: opts.Params})
	if partial := new(rikki.PartialError); err != nil && !errors.As(err, &partial) {
		t.Fatal("the undisturbed run failed: ", err)
	}
	c.usual = time.Since(began) + startUp
	c.script, c.db = result.Script, shaken
	c.history = shaken.Client().Database(shaken.Name() + "_history")
	t.Cleanup(func() { _ = c.history.Drop(context.WithoutCancel(t.Context())) }) // the server ends with the tests
	c.shake(t)
	if c.hits == 0 {
		t.Fatalf("none of %d kills hit the script at work: seed more documents", c.kills)
	}
	t.Logf("the script came to its end over %d kills, of which %d hit it at work", c.kills, c.hits)
	compare(t, control, shaken, opts.Ignore)
}

const (
	chaosEnv     = "RIKKI_CHAOS_CHILD"
	defaultKills = 10
	// startUp is about how long a process takes to begin.
	startUp = 300 * time.Millisecond
	// chaosLease is the shortest that there is.
	chaosLease = 3 * time.Second
	// chaosPatience bounds a process that isn't killed.
	chaosPatience = 5 * time.Minute
)

// chaosTask tells a process what to do.
type chaosTask struct {
	URI, Database string
	Continue      string // a run to go on with; "" begins one
}

type chaos struct {
	opts        ChaosOptions
	rand        *rand.Rand
	script      string
	db, history *mongo.Database
	usual       time.Duration
	kills, hits int
}

// shake runs and kills processes until one of them comes to the end.
func (c *chaos) shake(t *testing.T) {
	t.Helper()
	for {
		run := c.unfinished(t)
		cmd, output := c.command(t, run)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the script failed after %d kills: %v\n%s", c.kills, err, output)
			}
			return
		case <-c.moment(t):
		}
		if c.kills >= c.opts.Kills {
			_ = cmd.Process.Kill()
			<-ended //nolint:errcheck // it was killed
			t.Fatalf("the script did not come to its end within %s after %d kills\n%s", chaosPatience, c.kills, output)
		}
		c.kill(t, cmd, ended)
	}
}

// moment is when the next process is killed: soon after it has got on with the work, or, one time in three, whatever it is at.
func (c *chaos) moment(t *testing.T) <-chan time.Time {
	t.Helper()
	if c.kills >= c.opts.Kills {
		return time.After(chaosPatience)
	}
	if c.hits > 0 && c.rand.IntN(3) == 0 {
		return time.After(time.Duration(c.rand.Int64N(int64(c.usual))))
	}
	before, deadline := c.progress(t), time.Now().Add(10*c.usual)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for c.progress(t) == before && time.Now().Before(deadline) {
		<-look.C
	}
	return time.After(time.Duration(c.rand.Int64N(int64(c.usual / 10))))
}

// lookEvery is how often a process is looked after.
const lookEvery = 2 * time.Millisecond

// progress changes with each chunk, and with each checkpoint.
func (c *chaos) progress(t *testing.T) string {
	t.Helper()
	var chunks int64
	cur, err := c.history.Collection("partitions").Find(t.Context(), bson.D{}, options.Find().SetProjection(bson.D{{Key: "chunk", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var parts []struct{ Chunk int64 }
	if err := cur.All(t.Context(), &parts); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		chunks += p.Chunk
	}
	run, err := c.history.Collection("runs").FindOne(t.Context(), bson.D{}, options.FindOne().SetProjection(bson.D{{Key: "checkpoint.at", Value: 1}})).Raw()
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		t.Fatal(err)
	}
	return fmt.Sprint(chunks, run.Lookup("checkpoint", "at"))
}

// kill ends a process, and lets the lease of its run run out, as time would.
func (c *chaos) kill(t *testing.T, cmd *exec.Cmd, ended <-chan error) {
	t.Helper()
	_ = cmd.Process.Kill() // it may have ended by itself just now
	<-ended                //nolint:errcheck // it was killed
	c.kills++
	past := bson.A{bson.D{{Key: "$set", Value: bson.D{{Key: "lease.expires", Value: bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", 1}}}}}}}}
	res, err := c.history.Collection("runs").UpdateMany(t.Context(), bson.D{{Key: "state", Value: rikki.Running}}, past)
	if err != nil {
		t.Fatal(err)
	}
	c.hits += int(res.ModifiedCount)
}

// unfinished is the run that the next process goes on with.
func (c *chaos) unfinished(t *testing.T) string {
	t.Helper()
	var run struct {
		ID string `bson:"_id"`
	}
	err := c.history.Collection("runs").FindOne(t.Context(), bson.D{{Key: "script", Value: c.script}}).Decode(&run)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		t.Fatal(err)
	}
	return run.ID
}

// command is this test again, as a process of its own.
func (c *chaos) command(t *testing.T, run string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	task, err := json.Marshal(chaosTask{URI: URI(t), Database: c.db.Name(), Continue: run})
	if err != nil {
		t.Fatal(err)
	}
	var pattern []string
	for name := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(name)+"$")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.count=1", "-test.timeout="+chaosPatience.String()) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), chaosEnv+"="+string(task))
	output := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

// chaosChild does the script's work in a process that expects to be killed.
func chaosChild(ctx context.Context, script rikki.Script, opts ChaosOptions, text string) error {
	var task chaosTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	app := rikki.New(&rikki.Config{
		Conn:            conn.Config{URI: task.URI, Database: task.Database},
		HistoryDatabase: task.Database + "_history", Actor: "chaos", LeaseTTL: chaosLease,
	})
	defer func() { _ = app.Close(context.WithoutCancel(ctx)) }() // the process ends anyway
	err := app.Add(script)
	if err == nil && task.Continue == "" {
		_, err = app.Run(ctx, app.Scripts()[0].Name, &rikki.RunOptions{Params: opts.Params})
	} else if err == nil {
		_, err = app.Continue(ctx, task.Continue, &rikki.RunOptions{Force: true})
	}
	if partial := new(rikki.PartialError); err == nil || errors.As(err, &partial) || ended(ctx, app, task.Continue) {
		return nil
	}
	return err
}

// ended tells whether the run that should go on had come to its end just before its process was killed.
func ended(ctx context.Context, app *rikki.App, run string) bool {
	record, err := app.Record(ctx, run)
	return err == nil && (record.State == rikki.Succeeded || record.State == rikki.SucceededWithErrors)
}

// compare fails for every document that differs, up to a few.
func compare(t *testing.T, control, shaken *mongo.Database, ignore []string) {
	t.Helper()
	names := make(map[string]bool)
	for _, db := range []*mongo.Database{control, shaken} {
		list, err := db.ListCollectionNames(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range list {
			names[name] = !strings.HasPrefix(name, "system.")
		}
	}
	for name, wanted := range names {
		if wanted {
			compareCollections(t, name, control.Collection(name), shaken.Collection(name), ignore)
		}
	}
}

func compareCollections(t *testing.T, name string, control, shaken *mongo.Collection, ignore []string) {
	t.Helper()
	const most = 5
	want, got := contents(t, control, ignore), contents(t, shaken, ignore)
	wrong := 0
	for id, doc := range want {
		if got[id] != doc {
			if wrong++; wrong <= most {
				t.Errorf("%s: undisturbed it is\n\t%s\nand after the kills\n\t%s", name, bson.Raw(doc), bson.Raw(got[id]))
			}
		}
	}
	for id, doc := range got {
		if _, known := want[id]; !known {
			if wrong++; wrong <= most {
				t.Errorf("%s: there is a document too many after the kills: %s", name, bson.Raw(doc))
			}
		}
	}
	if wrong > most {
		t.Errorf("%s: %d documents differ", name, wrong)
	}
}

// contents are the documents by their _id, without the fields that may differ.
func contents(t *testing.T, coll *mongo.Collection, ignore []string) map[string]string {
	t.Helper()
	projection := bson.D{}
	for _, field := range ignore {
		projection = append(projection, bson.E{Key: field, Value: 0})
	}
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetProjection(projection))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(t.Context())) }()
	docs := make(map[string]string)
	for cur.Next(t.Context()) {
		docs[cur.Current.Lookup("_id").String()] = string(cur.Current)
	}
	if err := cur.Err(); err != nil {
		t.Fatal(err)
	}
	return docs
}
