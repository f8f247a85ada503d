package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/extjson"
	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/pace"
	"github.com/rikki-go/rikki/params"
)

// Journal is how much a run keeps for its undo.
type Journal = journal.Mode

// The journal modes.
const (
	JournalChanged = journal.Changed // the paths that changed, before and after; the default
	JournalFull    = journal.Full    // whole documents, before and after
	JournalIDs     = journal.IDs     // which documents changed; no undo
	JournalOff     = journal.Off     // nothing; no undo
)

// Options is what a backfill says about itself.
type Options struct {
	// Script is what every script may say: name, description, timeout and so on.
	// By default a backfill has no timeout. It is always resumable.
	Script rikki.Options

	// Collection is the one to walk. Database is the one that it is in; by default
	// that of the URI.
	Collection string
	Database   string

	// Filter selects documents. It is applied again as the walk goes on, so a
	// document that doesn't match any more when its turn comes is left alone.
	Filter any

	// Key is the field that the walk goes by: indexed, unique, without arrays, and
	// changed by nobody while the run lasts. A document whose key others change then
	// may be met twice or not at all. Default _id.
	Key string

	// Projection limits what a function gets of each document. The _id and the key
	// are always there. By default a function gets the fields of its type: see
	// [Changer].
	Projection any

	// Stages are aggregation stages that make what a function gets, such as a
	// $lookup. They look at each document by itself, must keep the _id, and give at
	// most one item for each, in any order: those that choose among documents, such as
	// $limit, or put several together, are refused.
	Stages []bson.D

	// Source gives other items than the documents of the collection: see [IDs],
	// [CSV], [NDJSON] and [Items]. Filter and Stages have no meaning with it.
	Source Source

	// Journal is how much is kept for an undo.
	Journal Journal

	// Fields are the top-level fields that the script may change. A chunk that
	// changes another is not committed, and the run fails. Empty means any.
	Fields []string

	// Chunk is how many documents make a chunk, Workers how many chunks are under way
	// at a time, Rate how many documents may be done in a second, MaxLag how far the
	// secondaries may be behind, and Target how long the documents of a chunk shall take,
	// beside its round trips and its commit. Zero means as many as fit into Target, the
	// number of cores but at most 4 (over a slow link up to 8), no limit, 10 s and 100 ms.
	// A negative MaxLag is no limit.
	Chunk   int
	Workers int
	Rate    float64
	MaxLag  time.Duration
	Target  time.Duration

	// Gentle is when the run makes room for others who use the server: then it does
	// one small chunk at a time and rests after each. Empty is [GentleAuto].
	Gentle Gentle

	// Unreadable is what the run does when it can't be told how far the secondaries are
	// behind: one is down, or the server doesn't answer. Empty is [UnreadableWait].
	Unreadable Unreadable

	// IgnoreMembers are members of the replica set whose lag doesn't matter, by name as
	// in the set's configuration ("db3:27017") or by host. Delayed members need not be
	// named: only what they are behind beyond their delay counts.
	IgnoreMembers []string

	// MaxFailures is how many documents may fail before the run pauses itself, and
	// MaxFailureRate which share of those that were done: both must be exceeded.
	// A run that goes on after it was paused counts anew. Zero means 10 and 0.01.
	// A negative MaxFailures ends the run at the first one.
	MaxFailures    int64
	MaxFailureRate float64

	// Patience is how long a chunk is tried again that meets with trouble which may be
	// gone the next time, before the run pauses and says what it is: a server that is
	// changing its role, conflicts with others, what the script marks as
	// [rikki.Transient]. Zero means 2 min.
	Patience time.Duration

	// mostWorkers is up to how many there may be over a link, where nobody has said how many.
	mostWorkers int

	// VerifyAgain looks after the end whether any document would change again. It
	// is for changes that do nothing the second time. Scripts with a [Doner] are
	// verified by that.
	VerifyAgain bool
}

// Gentle says when a run makes room for others who use the server.
type Gentle string

// The ways. Others are there when they send twenty commands a second or more that read
// or write, or when the account may not see whether they do (serverStatus).
const (
	GentleAuto   = Gentle(pace.GentleAuto) // while others are there
	GentleAlways = Gentle(pace.GentleAlways)
	GentleNever  = Gentle(pace.GentleNever)
)

// Unreadable says what a run does without a signal that it should heed.
type Unreadable string

// The ways. A member that is down may be any time behind when it comes back: to wait for it is safe, and to go on
// keeps to the lag of those that can be reached.
const (
	UnreadableWait   Unreadable = "wait"
	UnreadableIgnore Unreadable = "ignore"
)

// Defaults of [Options].
const (
	DefaultMaxLag         = 10 * time.Second
	DefaultTarget         = 100 * time.Millisecond
	DefaultMaxFailures    = 10
	DefaultPatience       = 2 * time.Minute
	DefaultMaxFailureRate = 0.01

	maxDefaultWorkers = 4
	// maxLinkWorkers is up to how many there are where most of a chunk's time goes by on the way to the server and back.
	maxLinkWorkers = 8

	// noShare is a share that any failure exceeds: who gives a number means that number.
	noShare = math.SmallestNonzeroFloat64
)

func (o Options) withDefaults() Options {
	o.Key = cmp.Or(o.Key, "_id")
	if o.Workers == 0 {
		o.Workers, o.mostWorkers = min(runtime.NumCPU(), maxDefaultWorkers), maxLinkWorkers
	}
	o.MaxLag = cmp.Or(o.MaxLag, DefaultMaxLag)
	o.Target = cmp.Or(o.Target, DefaultTarget)
	o.MaxFailures = cmp.Or(o.MaxFailures, DefaultMaxFailures)
	o.MaxFailureRate = cmp.Or(o.MaxFailureRate, DefaultMaxFailureRate)
	o.Journal = cmp.Or(o.Journal, JournalChanged)
	o.Patience = cmp.Or(o.Patience, DefaultPatience)
	if o.Filter == nil {
		o.Filter = bson.D{}
	}
	o.Script.Resumable, o.Script.NeedsHistory = true, true
	o.Script.DryRun = false
	o.Script.Retry = rikki.RetryPolicy{} // chunks are tried again, not the whole of it
	o.Script.Timeout = cmp.Or(o.Script.Timeout, -1)
	o.Script.Drain = cmp.Or(o.Script.Drain, defaultDrain)
	return o
}

// defaultDrain is how long chunks under way may go on when the run is asked to
// stop.
const defaultDrain = 20 * time.Second

func (o Options) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Collection == "" {
		fail("Options.Collection is missing: name the collection to walk")
	}
	if err := checkCollection(o.Collection); err != nil {
		fail("Options.Collection: %w", err)
	}
	if err := checkKey(o.Key); err != nil {
		fail("Options.Key: %w", err)
	}
	if o.Source != nil && len(o.Stages) > 0 {
		fail("Options.Stages and Options.Source contradict each other")
	}
	if err := checkStageKinds(o.Stages); err != nil {
		fail("Options.Stages: %w", err)
	}
	if o.Chunk < 0 || o.Chunk > pace.MaxChunk {
		fail("Options.Chunk: %d documents; say 1 to %d, or 0 for as many as fit into the time that a chunk shall take", o.Chunk, pace.MaxChunk)
	}
	if o.Workers < 0 || o.Workers > pace.MaxWorkers {
		fail("Options.Workers: %d; say 1 to %d, or 0 for the number of cores", o.Workers, pace.MaxWorkers)
	}
	if err := pace.CheckRate(o.Rate); err != nil {
		fail("Options.Rate: %s", strings.TrimPrefix(err.Error(), "rate of "))
	}
	if err := pace.Gentle(o.Gentle).Validate(); err != nil {
		fail("Options.Gentle: %w", err)
	}
	if o.Patience < 0 {
		fail("Options.Patience: %s; say how long a chunk may be tried again", o.Patience)
	}
	if o.Target < 0 || o.Target > attemptLimit {
		fail("Options.Target: %s; say up to %s, as long as a transaction may take", o.Target, attemptLimit)
	}
	if _, err := journal.ParseMode(string(o.Journal)); err != nil {
		fail("Options.Journal: %w", err)
	}
	if slices.Contains(o.Fields, o.Key) {
		errs = append(errs, keyError(o.Key))
	}
	if err := checkTop(o.Fields); err != nil {
		fail("Options.Fields: %w", err)
	}
	return errors.Join(errs...)
}

// checkTop refuses paths among the fields that may change.
func checkTop(fields []string) error {
	for _, field := range fields {
		if head := top(field); head != field {
			return fmt.Errorf("%s is a path; fields are top-level: %s", field, head)
		}
	}
	return nil
}

// Knobs are the parameters that every backfill has beside its own.
type Knobs struct {
	Chunk        int            `min:"1" max:"10000" help:"Documents in a chunk (default: as many as take 100ms)."`
	Workers      int            `min:"1" max:"64" help:"Chunks at a time."`
	Rate         *float64       `min:"0" help:"Documents a second at most; 0 for no limit."`
	MaxLag       *time.Duration `min:"0s" help:"How far secondaries may be behind (default 10s); 0s for no limit."`
	Gentle       string         `enum:"auto,always,never" help:"When to make room for others (default auto: while there are any)."`
	Unreadable   string         `enum:"wait,ignore" help:"What to do when the lag can't be told, as a member is down (default wait)."`
	IgnoreMember []string       `minItems:"1" placeholder:"HOST" help:"Members of the replica set whose lag doesn't matter."`
	Limit        int64          `min:"1" help:"Stop after so many documents, for a canary."`
	Only         []string       `minItems:"1" placeholder:"ID" format:"mongo-value" help:"Only the documents with these _ids; as extended JSON, or as text. One with a comma, or with spaces at its ends, stands in double quotes."`
	FailedOf     string         `minLength:"1" placeholder:"RUN" help:"Only the documents that failed in that run."`
	Window       string         `placeholder:"22:00-05:00" pattern:"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]( .+)?$" help:"Only work at this time of day; an IANA zone may follow, else UTC."`
	MaxRuntime   time.Duration  `min:"1s" help:"Pause after this time."`
	Journal      string         `enum:"changed,full,ids,off" help:"How much is kept for an undo."`
	Hold         bool           `help:"Pause before the final step, the verification."`
	MaxFailures  *int64         `min:"-1" help:"Pause when more documents than this fail (default 10 that are more than 1 %); 0 for no limit, -1 to end at the first."`
	MaxMatched   int64          `min:"1" help:"Stop when more documents than this match: what the dry run said, and some."`
	AtLeastOnce  bool           `help:"Go on without transactions on a standalone server: a chunk may be done twice."`
}

// apply overrides what the script says.
func (k Knobs) apply(o Options) Options {
	o.Chunk = cmp.Or(k.Chunk, o.Chunk)
	if k.Workers > 0 {
		o.Workers, o.mostWorkers = k.Workers, 0
	}
	if k.Rate != nil {
		o.Rate = *k.Rate
	}
	if k.MaxLag != nil {
		o.MaxLag = limitOr(*k.MaxLag)
	}
	if k.MaxFailures != nil {
		o.MaxFailures, o.MaxFailureRate = *k.MaxFailures, noShare
		if *k.MaxFailures == 0 {
			o.MaxFailures = math.MaxInt64
		}
	}
	o.Gentle = cmp.Or(Gentle(k.Gentle), o.Gentle)
	o.Unreadable = cmp.Or(Unreadable(k.Unreadable), o.Unreadable)
	o.Journal = cmp.Or(Journal(k.Journal), o.Journal)
	o.IgnoreMembers = append(slices.Clone(o.IgnoreMembers), k.IgnoreMember...)
	return o
}

// check refuses what contradicts itself, or can't be read.
func (k Knobs) check() error {
	err := checkWindow(k.Window)
	if k.Rate != nil {
		err = params.Join(err, checkRate(*k.Rate))
	}
	if len(k.Only) > 0 && k.FailedOf != "" {
		err = params.Join(err, wrongParam("only", errors.New("contradicts --failed-of: each says which documents; leave one of them out")))
	}
	for _, word := range k.Only {
		if !strings.HasPrefix(word, "{") && !strings.HasPrefix(word, `"`) {
			continue
		}
		if _, wrong := extjson.Value([]byte(word)); wrong != nil { // as a text it would be an _id that nobody has
			err = params.Join(err, wrongParam("only", fmt.Errorf("%s is not valid extended JSON: %w", word, wrong)))
		}
	}
	return err
}

func checkCollection(name string) error {
	if strings.HasPrefix(name, "system.") {
		return fmt.Errorf("%s is the server's own; name a collection of yours", name)
	}
	return nil
}

func checkKey(field string) error {
	if strings.Contains(field, ".") {
		return fmt.Errorf("%s is a path; the walk goes by a field at the top of the document", field)
	}
	return nil
}

func checkWindow(text string) error {
	if _, err := windowOf(text); err != nil {
		return wrongParam("window", errors.New(strings.TrimPrefix(err.Error(), "window "))) // its name is said already
	}
	return nil
}

func checkRate(rate float64) error {
	if err := pace.CheckRate(rate); err != nil {
		return wrongParam("rate", errors.New(strings.TrimPrefix(err.Error(), "rate "))) // its name is said already
	}
	return nil
}

// wrongParam says which parameter an error is about.
func wrongParam(field string, err error) error {
	if err == nil {
		return nil
	}
	return &params.Error{Problems: []params.Problem{{Field: field, Message: strings.TrimPrefix(err.Error(), "backfill: ")}}}
}

// limitOr makes the 0 of a command line, which is no limit, the one of [Options.MaxLag].
func limitOr(lag time.Duration) time.Duration { return cmp.Or(lag, -1) }

// Throttler is implemented by scripts that know of a reason to wait. It is asked
// about once a second: how long to wait from now on, and why.
type Throttler interface {
	Throttle(ctx context.Context) (wait time.Duration, reason string, err error)
}
