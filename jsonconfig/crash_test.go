package jsonconfig

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// failing makes the server fail commands of one client while f runs, and
// checks that it did.
func failing(t *testing.T, admin *mongo.Database, app string, data bson.D, f func()) {
	t.Helper()
	set := func(mode any, data bson.D) int {
		var was struct {
			Count int `bson:"count"`
		}
		err := admin.RunCommand(t.Context(), bson.D{
			{Key: "configureFailPoint", Value: "failCommand"},
			{Key: "mode", Value: mode},
			{Key: "data", Value: append(data, bson.E{Key: "appName", Value: app})},
		}).Decode(&was)
		if err != nil {
			t.Fatal(err)
		}
		return was.Count
	}
	before := set("alwaysOn", data)
	f()
	if set("off", bson.D{}) <= before {
		t.Error("the server failed no command")
	}
}

// One test, because a server has one failCommand failpoint.
func TestACrashNeitherLosesNorInventsVersions(t *testing.T) {
	t.Parallel()
	name := mongotest.DB(t).Name()
	admin := mongotest.Client(t).Database("admin")
	client, _ := monitored(t, mongotest.URI(t), t.Name())
	configs := In(client.Database(name))
	cfg := must(configs.Create(t.Context(), Config{Slug: "a", Value: "one"}, ""))(t)

	// put tries to write a value while commands fail, and returns the error.
	put := func(value string, data bson.D) error {
		var err error
		failing(t, admin, t.Name(), data, func() {
			next := cfg
			next.Value = value
			_, err = configs.Put(t.Context(), next, "")
		})
		return err
	}
	command := func(name string) bson.E { return bson.E{Key: "failCommands", Value: bson.A{name}} }
	hangUp := bson.E{Key: "closeConnection", Value: true}
	check := func(step string, values ...string) {
		t.Helper()
		var got []string
		want := slices.Clone(values)
		slices.Reverse(want)
		for i, version := range collect(t, configs.History(t.Context(), "a")) {
			var value string
			if err := version.Decode(&value); err != nil {
				t.Fatal(err)
			}
			got = append(got, value)
			if version.Version != int64(len(values)-i) {
				t.Errorf("%s: version %d at place %d", step, version.Version, i)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("history after %s (-want +got):\n%s", step, diff)
		}
	}

	if err := put("two", bson.D{command("update"), hangUp}); err == nil {
		t.Error("no error though the copy failed")
	}
	check("a failed copy", "one")
	if err := put("two", bson.D{command("findAndModify"), hangUp}); err == nil {
		t.Error("no error though the change failed")
	}
	check("a crash between copy and change", "one")
	left, err := client.Database(name).Collection(DefaultVersions).CountDocuments(t.Context(), bson.D{})
	if err != nil || left != 1 {
		t.Errorf("%d copies, %v; the crash should have left one", left, err)
	}
	if _, err := configs.Version(t.Context(), "a", 2); !errors.Is(err, ErrNotFound) {
		t.Error("the version that never was:", err)
	}

	// The change is made, and the answer says that nobody knows.
	err = put("two", bson.D{command("findAndModify"), {Key: "writeConcernError", Value: bson.D{
		{Key: "code", Value: 64}, {Key: "errmsg", Value: "waiting for replication timed out"},
	}}})
	if err == nil || errors.Is(err, ErrConflict) {
		t.Error("an unknown outcome:", err)
	}
	// Nothing waited for the majority, which alone can read it.
	for cfg.Version == 1 {
		cfg = must(configs.Get(t.Context(), "a"))(t)
	}
	check("an unknown outcome", "one", "two")
	again := Config{Slug: "a", Value: "two", Version: 1}
	if _, err := configs.Put(t.Context(), again, ""); !errors.Is(err, ErrConflict) {
		t.Error("repeating the change:", err)
	}
	cfg.Value = "three"
	must(configs.Put(t.Context(), cfg, ""))(t)
	check("the next change", "one", "two", "three")
}

func TestNewestVersionsOwnCopyIsNoOlderVersion(t *testing.T) {
	t.Parallel()
	configs := In(mongotest.DB(t))
	first := must(configs.Create(t.Context(), Config{Slug: "a", Value: 1}, ""))(t)
	cur, err := configs.find(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // as two processes do that die after this
		if err := configs.keep(t.Context(), cur); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]Config{first}, collect(t, configs.History(t.Context(), "a"))); diff != "" {
		t.Error("(-want +got)", diff)
	}
}

func TestInATransaction(t *testing.T) {
	t.Parallel()
	db := mongotest.DB(t)
	configs := In(db)
	for range 2 { // the second time there is nothing to do
		if err := configs.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	must(configs.Create(t.Context(), Config{Slug: "a", Value: 1}, ""))(t)

	undone := errors.New("undone")
	session, err := db.Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(t.Context())
	change := func(end error) error {
		_, err := session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
			cfg := must(configs.Get(ctx, "a"))(t)
			cfg.Value = "changed"
			must(configs.Put(ctx, cfg, ""))(t)
			must(configs.Create(ctx, Config{Slug: "b", Value: 1}, ""))(t)
			return nil, end
		}, options.Transaction())
		return err
	}
	if err := change(undone); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if got := collect(t, configs.List(t.Context())); len(got) != 1 || got[0].Version != 1 {
		t.Errorf("after the abort: %+v", got)
	}
	if err := change(nil); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, configs.List(t.Context())); len(got) != 2 || got[0].Version != 2 {
		t.Errorf("after the commit: %+v", got)
	}
}

func TestOnAStandaloneServer(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	client, _ := monitored(t, server.URI(), t.Name())
	configs := In(client.Database("standalone"))
	cfg := must(configs.Create(t.Context(), Config{Slug: "a", Aliases: []string{"x"}, Value: 1}, ""))(t)
	must(configs.Put(t.Context(), cfg, ""))(t)
	if _, err := configs.Put(t.Context(), cfg, ""); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if _, err := configs.Create(t.Context(), Config{Slug: "x", Value: 1}, ""); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if got := collect(t, configs.History(t.Context(), "x")); len(got) != 2 {
		t.Errorf("history: %+v", got)
	}
}
