package jsonconfig

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/internal/mongotest"
)

type limits struct {
	PerMinute int64         `json:"perMinute"`
	Paths     []path        `json:"paths"`
	Window    time.Duration `bson:"window"`
}

type path struct {
	Prefix string `json:"prefix"`
}

// must returns the value of a call that has to succeed.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func collect(tb testing.TB, seq iter.Seq2[Config, error]) []Config {
	tb.Helper()
	var all []Config
	for cfg, err := range seq {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, cfg)
	}
	return all
}

func versionsOf(all []Config) []int64 {
	var versions []int64
	for _, cfg := range all {
		versions = append(versions, cfg.Version)
	}
	return versions
}

func TestCreateAndGet(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t)).As("alice")
	want := limits{PerMinute: 60, Paths: []path{{"/api"}, {"$set"}}, Window: time.Minute}
	created := must(configs.Create(t.Context(), Config{
		Slug: "rate-limits", Aliases: []string{"rateLimits"}, Name: "Limits", Description: "of the API", Value: want,
	}, "first"))(t)

	for _, key := range []string{"rate-limits", "rateLimits"} {
		got := must(configs.Get(t.Context(), key))(t)
		if diff := cmp.Diff(created, got); diff != "" {
			t.Errorf("Get(%q) differs from what Create returned (-created +got):\n%s", key, diff)
		}
		value := must(GetAs[limits](t.Context(), configs, key))(t)
		if diff := cmp.Diff(want, value); diff != "" {
			t.Errorf("GetAs(%q) (-want +got):\n%s", key, diff)
		}
	}
	if created.Version != 1 || created.By != "alice" || created.Why != "first" || time.Since(created.At).Abs() > time.Hour {
		t.Errorf("version, by, why, at = %d, %q, %q, %v", created.Version, created.By, created.Why, created.At)
	}
	raw, _ := created.Value.(bson.RawValue)
	if _, err := raw.Document().LookupErr("perMinute"); err != nil {
		t.Error("the json tag does not name the field:", raw)
	}
}

func TestGetSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t))
	_, err := configs.Get(t.Context(), "nope")
	var missing *NotFoundError
	if !errors.Is(err, ErrNotFound) || !errors.As(err, &missing) || missing.Key != "nope" {
		t.Errorf("Get of a missing config: %v", err)
	}
	if _, err := GetAs[limits](t.Context(), configs, "nope"); !errors.Is(err, ErrNotFound) {
		t.Errorf("GetAs of a missing config: %v", err)
	}
	must(configs.Create(t.Context(), Config{Slug: "a", Value: "text"}, ""))(t)
	if _, err := GetAs[limits](t.Context(), configs, "a"); err == nil || !strings.Contains(err.Error(), `config "a", version 1`) {
		t.Errorf("GetAs of another type: %v", err)
	}
	if _, err := configs.Version(t.Context(), "a", 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("Version beyond the newest: %v", err)
	}
}

func TestValuesOfAnyTypeSurvive(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t))
	decimal, err := bson.ParseDecimal128("0.1000000000000000055511151231257827")
	if err != nil {
		t.Fatal(err)
	}
	id := bson.NewObjectID()
	for i, value := range []any{
		int64(math.MaxInt64),
		int64(5),
		int32(5),
		5.0,
		math.Inf(1),
		decimal,
		id,
		true,
		"text with $dollar and \x00 null",
		bson.Null{},
		bson.DateTime(1_700_000_000_123),
		bson.A{int64(1), bson.A{}, bson.D{}},
		bson.D{{Key: "$set", Value: int64(1) << 53}, {Key: "a.b", Value: "$x"}, {Key: "", Value: bson.D{{Key: "$literal", Value: 1}}}},
		bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		bson.Regex{Pattern: "^a", Options: "i"},
		bson.MinKey{},
		bson.Timestamp{T: 1, I: 2},
	} {
		want := must(encode(value))(t)
		slug := fmt.Sprintf("v%d", i)
		must(configs.Create(t.Context(), Config{Slug: slug, Value: value}, ""))(t)
		cfg := must(configs.Get(t.Context(), slug))(t)
		if got, _ := cfg.Value.(bson.RawValue); !got.Equal(want) {
			t.Errorf("%T %v came back as %v", value, value, got)
		}
		cfg = must(configs.Put(t.Context(), cfg, ""))(t)
		old := must(configs.Version(t.Context(), slug, 1))(t)
		if got, _ := old.Value.(bson.RawValue); !got.Equal(want) {
			t.Errorf("%T %v is in the history as %v", value, value, got)
		}
		text := must(cfg.CanonicalJSON())(t)
		if got := must(FromJSON(text))(t); !got.Equal(want) {
			t.Errorf("%T %v came back from JSON %s as %v", value, value, text, got)
		}
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t)).As("alice")
	first := must(configs.Create(t.Context(), Config{Slug: "a", Aliases: []string{"x"}, Value: 1}, "one"))(t)

	second := first
	second.Value, second.Aliases, second.Name = 2, []string{"y"}, "A"
	second = must(configs.As("bob").Put(t.Context(), second, "two"))(t)

	t.Run("TheNewestVersionIsTheOnePut", func(t *testing.T) {
		t.Parallel()
		if diff := cmp.Diff(second, must(configs.Get(t.Context(), "y"))(t)); diff != "" {
			t.Error("(-put +got)", diff)
		}
	})
	t.Run("AnAliasGivenUpIsGone", func(t *testing.T) {
		t.Parallel()
		if _, err := configs.Get(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("HistoryHoldsBothWhole", func(t *testing.T) {
		t.Parallel()
		if diff := cmp.Diff([]Config{second, first}, collect(t, configs.History(t.Context(), "a"))); diff != "" {
			t.Error("(-want +got)", diff)
		}
	})
	t.Run("AnOldVersionLoses", func(t *testing.T) {
		t.Parallel()
		_, err := configs.Put(t.Context(), first, "")
		var conflict *ConflictError
		if !errors.Is(err, ErrConflict) || !errors.As(err, &conflict) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&ConflictError{Slug: "a", Expected: 1, Actual: 2}, conflict); diff != "" {
			t.Error("(-want +got)", diff)
		}
	})
	t.Run("AMissingConfigIsNotCreated", func(t *testing.T) {
		t.Parallel()
		_, err := configs.Put(t.Context(), Config{Slug: "b", Value: 1}, "")
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("AnAliasIsNoSlug", func(t *testing.T) {
		t.Parallel()
		cfg := second
		cfg.Slug, cfg.Aliases = "y", nil
		if _, err := configs.Put(t.Context(), cfg, ""); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	})
}

func TestNamesAreTakenOnce(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t))
	must(configs.Create(t.Context(), Config{Slug: "a", Aliases: []string{"x"}, Value: 1}, ""))(t)
	b := must(configs.Create(t.Context(), Config{Slug: "b", Value: 1}, ""))(t)

	for name, tc := range map[string]struct {
		cfg  Config
		want ConflictError
	}{
		"SlugAsSlug":   {Config{Slug: "a"}, ConflictError{Slug: "a", Key: "a", Owner: "a", Actual: 1}},
		"SlugAsAlias":  {Config{Slug: "x"}, ConflictError{Slug: "x", Key: "x", Owner: "a", Actual: 1}},
		"AliasAsSlug":  {Config{Slug: "c", Aliases: []string{"a"}}, ConflictError{Slug: "c", Key: "a", Owner: "a", Actual: 1}},
		"AliasAsAlias": {Config{Slug: "c", Aliases: []string{"z", "x"}}, ConflictError{Slug: "c", Key: "x", Owner: "a", Actual: 1}},
		"PutOfAnAlias": {Config{Slug: "b", Aliases: []string{"x"}, Version: 1}, ConflictError{Slug: "b", Key: "x", Owner: "a", Expected: 1, Actual: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.Value = 2
			write := configs.Create
			if tc.cfg.Version > 0 {
				write = configs.Put
			}
			_, err := write(t.Context(), tc.cfg, "")
			var conflict *ConflictError
			if !errors.As(err, &conflict) {
				t.Fatalf("got %v, want a conflict", err)
			}
			if diff := cmp.Diff(&tc.want, conflict); diff != "" {
				t.Error("(-want +got)", diff)
			}
		})
	}
	t.Cleanup(func() { // a refused Put has copied version 1; it must not show
		all := collect(t, configs.History(context.WithoutCancel(t.Context()), "b"))
		if diff := cmp.Diff([]Config{b}, all); diff != "" {
			t.Error("history after a refused change (-want +got)", diff)
		}
	})
}

func TestFiftyAtOnce(t *testing.T) {
	t.Parallel()
	const writers = 50
	db := mongotest.DB(t)

	// race calls f from all goroutines at once, each with Configs of its own as
	// if it were a process, and returns how often it succeeded.
	race := func(t *testing.T, f func(*Configs, int) error) int {
		t.Helper()
		var wg sync.WaitGroup
		errs := make([]error, writers)
		start := make(chan struct{})
		for i := range writers {
			wg.Go(func() {
				<-start
				errs[i] = f(In(db), i)
			})
		}
		close(start)
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, ErrConflict):
				t.Error(err)
			}
		}
		return won
	}

	won := race(t, func(c *Configs, i int) error {
		_, err := c.Create(t.Context(), Config{Slug: "same", Value: i}, "")
		return err
	})
	if won != 1 {
		t.Fatalf("%d creates of one slug succeeded, want 1", won)
	}
	won = race(t, func(c *Configs, i int) error {
		cfg := Config{Slug: "shared", Value: i} // half want it as a slug, half as an alias
		if i%2 == 0 {
			cfg = Config{Slug: fmt.Sprintf("own-%d", i), Aliases: []string{"shared"}, Value: i}
		}
		_, err := c.Create(t.Context(), cfg, "")
		return err
	})
	if won != 1 {
		t.Fatalf("%d configs got the same name, want 1", won)
	}
	cfg := must(In(db).Get(t.Context(), "same"))(t)
	for range 3 {
		won = race(t, func(c *Configs, i int) error {
			next := cfg
			next.Value = i
			_, err := c.Put(t.Context(), next, "")
			return err
		})
		if won != 1 {
			t.Fatalf("%d puts over version %d succeeded, want 1", won, cfg.Version)
		}
		newest := must(In(db).Get(t.Context(), "same"))(t)
		if newest.Version != cfg.Version+1 {
			t.Fatalf("version %d follows %d", newest.Version, cfg.Version)
		}
		cfg = newest
	}
	history := collect(t, In(db).History(t.Context(), "same"))
	if diff := cmp.Diff([]int64{4, 3, 2, 1}, versionsOf(history)); diff != "" {
		t.Error("history (-want +got)", diff)
	}
}

func TestDeleteAndRevert(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t)).As("alice")
	must(configs.Create(t.Context(), Config{Slug: "a", Aliases: []string{"x"}, Value: "one"}, ""))(t)
	if err := configs.Delete(t.Context(), "x", 2, ""); !errors.Is(err, ErrConflict) {
		t.Fatal("delete of a version that is not the newest:", err)
	}
	if err := configs.Delete(t.Context(), "x", 1, "unused"); err != nil {
		t.Fatal(err)
	}

	var missing *NotFoundError
	if _, err := configs.Get(t.Context(), "a"); !errors.As(err, &missing) || missing.DeletedIn != 2 {
		t.Error("get of a deleted config:", err)
	}
	if _, err := configs.Put(t.Context(), Config{Slug: "a", Value: 1, Version: 2}, ""); !errors.Is(err, ErrNotFound) {
		t.Error("put of a deleted config:", err)
	}
	if err := configs.Delete(t.Context(), "a", 2, ""); !errors.Is(err, ErrNotFound) {
		t.Error("second delete:", err)
	}
	if got := collect(t, configs.List(t.Context())); len(got) != 0 {
		t.Error("list shows the deleted config:", got)
	}
	if _, err := configs.Revert(t.Context(), "a", 2, 2, ""); !errors.Is(err, ErrInvalid) {
		t.Error("revert to the version that deleted:", err)
	}

	// Its alias is free, so reverting has to give way to the new owner.
	other := must(configs.Create(t.Context(), Config{Slug: "b", Aliases: []string{"x"}, Value: 1}, ""))(t)
	if _, err := configs.Revert(t.Context(), "a", 1, 2, ""); !errors.Is(err, ErrConflict) {
		t.Error("revert over a taken alias:", err)
	}
	other.Aliases = nil
	must(configs.Put(t.Context(), other, ""))(t)

	reverted := must(configs.Revert(t.Context(), "a", 1, 2, "needed after all"))(t)
	if got := must(GetAs[string](t.Context(), configs, "x"))(t); got != "one" || reverted.Version != 3 || reverted.Why != "needed after all" {
		t.Errorf("reverted to %q, %+v", got, reverted)
	}

	if err := configs.Delete(t.Context(), "a", 3, ""); err != nil {
		t.Fatal(err)
	}
	again := must(configs.Create(t.Context(), Config{Slug: "a", Value: "new"}, ""))(t)
	history := collect(t, configs.History(t.Context(), "a"))
	if diff := cmp.Diff([]int64{5, 4, 3, 2, 1}, versionsOf(history)); diff != "" || again.Version != 5 {
		t.Error("history over two lives (-want +got)", diff)
	}
	if !history[1].Deleted || history[1].Value != nil || history[0].Deleted {
		t.Errorf("deletions in the history: %+v", history)
	}
}

func TestLongListsComeInPages(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t))
	var want []string
	for i := range pageSize + 3 {
		want = append(want, fmt.Sprintf("c%03d", i))
		must(configs.Create(t.Context(), Config{Slug: want[i], Value: i}, ""))(t)
	}
	var got []string
	for _, cfg := range collect(t, configs.List(t.Context())) {
		got = append(got, cfg.Slug)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("list (-want +got)", diff)
	}

	cfg := must(configs.Get(t.Context(), "c000"))(t)
	var versions []int64
	for range pageSize * 2 {
		cfg = must(configs.Put(t.Context(), cfg, ""))(t)
	}
	for v := cfg.Version; v >= 1; v-- {
		versions = append(versions, v)
	}
	if diff := cmp.Diff(versions, versionsOf(collect(t, configs.History(t.Context(), "c000")))); diff != "" {
		t.Error("history (-want +got)", diff)
	}
	for cfg, err := range configs.History(t.Context(), "c000") {
		if err != nil || cfg.Version < 90 { // stopping early must stop
			break
		}
	}
}

func TestInvalidConfigsAreRefused(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t))
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"NoSlug":        {Config{Value: 1}, "the slug is empty"},
		"SlugWithSpace": {Config{Slug: "rate limits", Value: 1}, "use letters, digits"},
		"SlugTooLong":   {Config{Slug: strings.Repeat("a", 129), Value: 1}, "at most 128"},
		"SlugWithCR":    {Config{Slug: "a\r\n", Value: 1}, "use letters, digits"},
		"NoValue":       {Config{Slug: "a"}, "the value is missing"},
		"BadValue":      {Config{Slug: "a", Value: make(chan int)}, "can't be encoded"},
		"BrokenBSON":    {Config{Slug: "a", Value: bson.RawValue{Type: bson.TypeString, Value: []byte{1}}}, "no valid BSON"},
		"HugeValue":     {Config{Slug: "a", Value: strings.Repeat("x", MaxValueSize)}, "at most 4194304"},
		"AliasTwice":    {Config{Slug: "a", Aliases: []string{"b", "b"}, Value: 1}, "there twice"},
		"AliasIsSlug":   {Config{Slug: "a", Aliases: []string{"a"}, Value: 1}, "is the slug"},
		"EverythingAtOnce": {Config{Slug: "", Aliases: []string{"-"}}, "the slug is empty: name the config, such as rate-limits; " +
			"alias \"-\": use letters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := configs.Create(t.Context(), tc.cfg, "")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if _, err := configs.Put(t.Context(), tc.cfg, ""); !errors.Is(err, ErrInvalid) {
				t.Errorf("Put: %v", err)
			}
		})
	}
}

// monitored connects with a client that tells which commands it sends.
func monitored(t *testing.T, uri, app string) (*mongo.Client, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var sent []string
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName(app).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			mu.Lock()
			defer mu.Unlock()
			name := e.CommandName
			if wc, err := e.Command.LookupErr("writeConcern", "w"); err == nil {
				name += " w:" + wc.StringValue()
			}
			if rc, err := e.Command.LookupErr("readConcern", "level"); err == nil {
				name += " " + rc.StringValue()
			}
			sent = append(sent, name)
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return client, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := slices.Clone(sent)
		sent = nil
		return out
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	name := mongotest.DB(t).Name()
	client, sent := monitored(t, mongotest.URI(t), t.Name())
	// Weaker concerns of the application must not reach the configs.
	configs := In(client.Database(name, options.Database().
		SetReadConcern(readconcern.Local()).
		SetReadPreference(readpref.SecondaryPreferred()).
		SetWriteConcern(writeconcern.W1())))

	const (
		find  = "find majority"
		write = "findAndModify w:majority"
		keep  = "update w:majority"
	)
	cfg := must(configs.Create(t.Context(), Config{Slug: "a", Value: 1}, ""))(t)
	if diff := cmp.Diff([]string{write, "createIndexes w:majority", "create w:majority", write}, sent()); diff != "" {
		t.Error("first write ever (-want +got)", diff)
	}
	other := In(client.Database(name))
	must(other.Create(t.Context(), Config{Slug: "b", Value: 1}, ""))(t)
	if diff := cmp.Diff([]string{write}, sent()); diff != "" {
		t.Error("create by another process (-want +got)", diff)
	}
	must(configs.Get(t.Context(), "a"))(t)
	if diff := cmp.Diff([]string{find}, sent()); diff != "" {
		t.Error("get (-want +got)", diff)
	}
	must(configs.Put(t.Context(), cfg, ""))(t)
	if diff := cmp.Diff([]string{find, keep, write}, sent()); diff != "" {
		t.Error("put (-want +got)", diff)
	}

	// Somebody drops the collection under a process that has written already.
	if err := client.Database(name).Collection(DefaultCollection).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(configs.Create(t.Context(), Config{Slug: "a", Aliases: []string{"x"}, Value: 1}, ""))(t)
	if _, err := configs.Create(t.Context(), Config{Slug: "x", Value: 1}, ""); !errors.Is(err, ErrConflict) {
		t.Error("the index did not come back:", err)
	}
}
