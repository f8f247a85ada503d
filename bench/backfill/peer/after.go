package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// Picky is what a script is told that fails for documents.
type Picky struct {
	Broken bool `help:"Fail for documents."`
	Share  int  `default:"1" help:"For one of so many documents."`
}

func (Picky) options() backfill.Options {
	return backfill.Options{Collection: "users", MaxFailures: 1 << 40}
}

// bad tells whether it fails for a document.
func (p Picky) bad(score float64) bool { return p.Broken && int(3*score+0.5)%p.Share == 0 }

// Scored is what these scripts know of a document.
type Scored struct {
	Email string  `bson:"email"`
	Name  string  `bson:"name"`
	Score float64 `bson:"score"`
}

// PickyFunction fails by itself.
type PickyFunction struct{ Picky }

// Backfill implements [backfill.Described].
func (s *PickyFunction) Backfill() backfill.Options { return s.options() }

// Change implements [backfill.Changer].
func (s *PickyFunction) Change(_ context.Context, u Scored) (backfill.Change, error) {
	if s.bad(u.Score) {
		return backfill.None(), fmt.Errorf("%s has no address that can be used: %q", u.Name, u.Email)
	}
	return backfill.Set("email", strings.ToLower(u.Email)), nil
}

// PickyServer has the server refuse changes of single documents.
type PickyServer struct{ Picky }

// Backfill implements [backfill.Described].
func (s *PickyServer) Backfill() backfill.Options { return s.options() }

// Change implements [backfill.Changer].
func (s *PickyServer) Change(_ context.Context, u Scored) (backfill.Change, error) {
	if s.bad(u.Score) {
		return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "name", Value: 1}}}}), nil
	}
	return backfill.Set("email", strings.ToLower(u.Email)), nil
}

// PickyPipeline has the server refuse what it computes.
type PickyPipeline struct{ Picky }

// Backfill implements [backfill.Described].
func (s *PickyPipeline) Backfill() backfill.Options { return s.options() }

// Pipeline implements [backfill.Pipeliner].
func (s *PickyPipeline) Pipeline() mongo.Pipeline {
	set := bson.D{{Key: "email", Value: bson.D{{Key: "$toLower", Value: "$email"}}}}
	if s.Broken {
		i := bson.D{{Key: "$round", Value: bson.D{{Key: "$multiply", Value: bson.A{"$score", 3}}}}}
		set = append(set, bson.E{Key: "n", Value: bson.D{{Key: "$cond", Value: bson.A{
			bson.D{{Key: "$eq", Value: bson.A{bson.D{{Key: "$mod", Value: bson.A{i, s.Share}}}, 0}}}, bson.D{{Key: "$add", Value: bson.A{"$name", 1}}}, "$n",
		}}}})
	}
	return mongo.Pipeline{{{Key: "$set", Value: set}}}
}

// Verified looks at all documents again.
type Verified struct{ LowercaseFunction }

// Done implements [backfill.Doner].
func (*Verified) Done(u User) bool { return u.Email == strings.ToLower(u.Email) }

// runStep does one of the steps of a run's life after its end, or the run itself. It prints the run first.
func runStep(ctx context.Context, step, script, run, params string) (err error) {
	app := rikki.New(nil).MustAdd(backfill.New[Scored](&PickyFunction{}), backfill.New[Scored](&PickyServer{}),
		backfill.NewPipeline(&PickyPipeline{}), backfill.New[User](&Verified{}), backfill.New[User](&LowercaseFunction{}), backfill.NewPipeline(&LowercasePipeline{}), backfill.NewUndo())
	defer func() { err = errors.Join(err, app.Close(ctx)) }()
	if dir := os.Getenv("BENCH_PROFILES"); dir != "" {
		stop, err := profile(filepath.Join(dir, script+"-"+step+".pprof"))
		if err != nil {
			return err
		}
		defer stop()
	}
	var given map[string]any
	if params != "" {
		if err := json.Unmarshal([]byte(params), &given); err != nil {
			return fmt.Errorf("the parameters %s: %w", params, err)
		}
	}
	var result *rikki.Result
	switch step {
	case "run":
		result, err = app.Run(ctx, script, &rikki.RunOptions{Params: given})
	case "retry":
		var queued rikki.Record
		if queued, err = backfill.RetryFailed(ctx, app, run, &rikki.ControlOptions{Params: given}); err == nil {
			result, err = app.Continue(ctx, queued.ID, nil)
		}
	case "undo", "undo-dry":
		result, err = backfill.Undo(ctx, app, run, &rikki.RunOptions{DryRun: step == "undo-dry"})
	case "groups":
		var groups []backfill.FailureGroup
		groups, err = backfill.FailureGroups(ctx, app, run)
		fmt.Println(run, len(groups), "groups")
	case "export":
		var n int
		n, err = export(ctx, app, run)
		fmt.Println(run, n, "failures")
	default:
		err = fmt.Errorf("there is no step %q", step)
	}
	if result != nil {
		fmt.Println(result.Run, result.Counters)
	}
	if _, partial := errors.AsType[*rikki.PartialError](err); partial {
		return nil
	}
	return err
}

// export does what runs failures --export does.
func export(ctx context.Context, app *rikki.App, run string) (n int, err error) {
	encoder := json.NewEncoder(io.Discard)
	for f, err := range backfill.Failures(ctx, app, run) {
		if err != nil {
			return n, err
		}
		if err := encoder.Encode(f); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
