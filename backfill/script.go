package backfill

import (
	"cmp"
	"context"
	"reflect"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
)

// Described is implemented by every backfill.
type Described interface {
	// Backfill says what to walk and how. It is called for each run, with the
	// run's parameters in place.
	Backfill() Options
}

// A Changer says for each document what shall become of it.
//
// Of documents that are decoded into a struct, only its fields are fetched, and the
// rest where a change takes it: that makes no difference but in time. Where T is
// [bson.Raw], a map, or has an inline map or UnmarshalBSON, whole documents are.
type Changer[T any] interface {
	Described

	// Change must have no effects but those in the database, and those only
	// through the change that it returns or [DB]: it may be called again for the
	// same document. An error records the document as failed and leaves it as it
	// is; [rikki.Transient] tries its chunk again.
	Change(ctx context.Context, doc T) (Change, error)
}

// A BatchChanger does the same for a chunk of documents at once: one change for
// each. An error fails the chunk, which is then tried in halves down to the
// documents that make it fail.
type BatchChanger[T any] interface {
	Described
	ChangeAll(ctx context.Context, docs []T) ([]Change, error)
}

// A Pipeliner has one aggregation pipeline that changes all documents, at the
// server.
type Pipeliner interface {
	Described
	Pipeline() mongo.Pipeline
}

// A Doner tells whether a document is as it shall be. After the end of the
// walk every document of it is looked at again.
type Doner[T any] interface {
	Done(doc T) bool
}

// New makes a script of a backfill that is a function of each document, decoded
// into a T:
//
//	cli.Main(backfill.New[User](&LowercaseEmails{}))
func New[T, S any, P interface {
	*S
	Changer[T]
}](script P) rikki.Script {
	return wrap[S](script, func(s *S) work { return newFunction(P(s)) })
}

// NewBatch makes a script of a backfill that is a function of each chunk.
func NewBatch[T, S any, P interface {
	*S
	BatchChanger[T]
}](script P) rikki.Script {
	return wrap[S](script, func(s *S) work { return newBatch[T](P(s), any(s)) })
}

// NewPipeline makes a script of a backfill that is an aggregation pipeline.
func NewPipeline[S any, P interface {
	*S
	Pipeliner
}](script P) rikki.Script {
	return wrap[S](script, func(s *S) work { return &pipelineWork{pipeline: P(s).Pipeline()} })
}

// settings are the parameters of a backfill: its own and the [Knobs].
type settings[S any] struct {
	Script S `params:",inline"`
	Knobs
}

// CheckParams implements [params.Checker].
func (s *settings[S]) CheckParams() error {
	err := s.Knobs.check()
	if c, ok := any(&s.Script).(params.Checker); ok {
		err = params.Join(c.CheckParams(), err)
	}
	return err
}

// script is a backfill as a [rikki.Script].
type script[S any] struct {
	settings settings[S]
	work     func(*S) work
}

func wrap[S any](proto *S, work func(*S) work) rikki.Script {
	s := &script[S]{work: work}
	s.settings.Script = *proto
	return s
}

// hooks is the author's own value, which may have more methods.
func (s *script[S]) hooks() any { return &s.settings.Script }

func (s *script[S]) described() Options {
	return s.hooks().(Described).Backfill().withDefaults() //nolint:forcetypeassert // the constructors demand it
}

// Options implements [rikki.Configured].
func (s *script[S]) Options() rikki.Options {
	o := s.described().Script
	o.Name = cmp.Or(o.Name, params.Kebab(reflect.TypeFor[S]().Name()))
	return o
}

// Fresh implements [rikki.Wrapper].
func (s *script[S]) Fresh() (rikki.Script, any) {
	fresh := &script[S]{settings: s.settings, work: s.work}
	return fresh, &fresh.settings
}

// NeedsRuns names the runs that are not pruned before this one is over.
func (s *script[S]) NeedsRuns() []string {
	if s.settings.FailedOf == "" {
		return nil
	}
	return []string{s.settings.FailedOf}
}

// Validate implements [rikki.Validator].
func (s *script[S]) Validate(ctx context.Context, run *rikki.Run, findings *rikki.Findings) {
	if err := s.settings.apply(s.described()).validate(); err != nil {
		findings.Errorf("%v", err)
	}
	if v, ok := s.hooks().(rikki.Validator); ok {
		v.Validate(ctx, run, findings)
	}
}

// Setup implements [rikki.Setupper].
func (s *script[S]) Setup(ctx context.Context, run *rikki.Run) error {
	if h, ok := s.hooks().(rikki.Setupper); ok {
		return h.Setup(ctx, run)
	}
	return nil
}

// Cleanup implements [rikki.Cleaner].
func (s *script[S]) Cleanup(ctx context.Context, run *rikki.Run) error {
	if h, ok := s.hooks().(rikki.Cleaner); ok {
		return h.Cleanup(ctx, run)
	}
	return nil
}

// Execute implements [rikki.Script].
func (s *script[S]) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	w := s.work(&s.settings.Script)
	if t, ok := s.hooks().(Throttler); ok {
		return execute(ctx, run, s.settings.apply(s.described()), s.settings.Knobs, w, t)
	}
	return execute(ctx, run, s.settings.apply(s.described()), s.settings.Knobs, w, nil)
}
