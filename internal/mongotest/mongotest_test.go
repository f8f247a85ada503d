package mongotest_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// leakEnv makes a child of the test binary leave a goroutine behind.
const leakEnv = "MONGOTEST_LEAK"

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

func TestDB(t *testing.T) {
	t.Parallel()

	t.Run("IsOneTestsOwnAndDroppedAtItsEnd", func(t *testing.T) {
		t.Parallel()
		client := mongotest.Client(t) // or skip
		var names []string
		for range 2 {
			t.Run("Inner", func(t *testing.T) {
				db := mongotest.DB(t)
				names = append(names, db.Name())
				if _, err := db.Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
					t.Fatal(err)
				}
				if n, err := db.Collection("c").CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
					t.Errorf("documents = %d, %v; want only this test's", n, err)
				}
			})
		}
		if len(names) != 2 || names[0] == names[1] {
			t.Fatalf("names = %q, want two", names)
		}
		left, err := client.ListDatabaseNames(t.Context(), bson.D{{Key: "name", Value: bson.D{{Key: "$in", Value: names}}}})
		if err != nil || len(left) != 0 {
			t.Errorf("databases left: %q, %v", left, err)
		}
	})

	t.Run("HasAReadableNameThatTheServerAccepts/With:Odd.Characters$And"+strings.Repeat("VeryLong", 6), func(t *testing.T) {
		t.Parallel()
		if name := mongotest.Name(t); len(name) > 63 || !strings.HasPrefix(name, "t_TestDB_HasAReadableName") {
			t.Errorf("name = %q", name)
		}
		if _, err := mongotest.DB(t).Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
			t.Error(err)
		}
	})
}

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("IsSharedAndHasTestCommands", func(t *testing.T) {
		t.Parallel()
		s := mongotest.Server(t)
		if s != mongotest.Server(t) || s.URI() != mongotest.URI(t) {
			t.Error("two shared servers")
		}
		off := bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: "off"}}
		if err := s.FailPoint(t.Context(), off); err != nil {
			t.Error(err)
		}
	})

	t.Run("IsAnotherOneWhenDedicated", func(t *testing.T) {
		t.Parallel()
		var dir string
		t.Run("Inner", func(t *testing.T) {
			own := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
			dir = own.Dir()
			if own.URI() == mongotest.URI(t) {
				t.Error("the dedicated server is the shared one")
			}
		})
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the dedicated server's directory outlived its test: %v", err)
		}
	})
}

// TestInAnotherProcess runs this test binary again, in another environment.
func TestInAnotherProcess(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := func(t *testing.T, test string, env ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), self, "-test.run", test, "-test.v")
		for _, kv := range os.Environ() {
			if !strings.HasPrefix(kv, "CI=") {
				cmd.Env = append(cmd.Env, kv)
			}
		}
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// A cache that cannot be made, a PATH without mongod and pip.
	nothing := []string{"XDG_CACHE_HOME=/dev/null", "PATH=/nowhere", "RIKKI_MONGOD=", "RIKKI_TEST_URI=", "RIKKI_MONGOD_MIRROR=http://127.0.0.1:1"}

	t.Run("SkipsWithoutMongodAndSaysWhy", func(t *testing.T) {
		t.Parallel()
		out, err := again(t, "^TestDB$", nothing...)
		if err != nil || !strings.Contains(out, "no MongoDB for this test") || !strings.Contains(out, "--- SKIP") {
			t.Errorf("%v; output:\n%s", err, out)
		}
	})

	t.Run("FailsWithoutMongodInCI", func(t *testing.T) {
		t.Parallel()
		out, err := again(t, "^TestDB$", append(nothing, "CI=1")...)
		if err == nil || !strings.Contains(out, "no MongoDB for this test") {
			t.Errorf("%v; output:\n%s", err, out)
		}
	})

	t.Run("UsesTheServerThatTheEnvironmentNames", func(t *testing.T) {
		t.Parallel()
		out, err := again(t, "^(TestDB|TestServer)$/IsShared|IsOneTests", append(nothing, "RIKKI_TEST_URI="+mongotest.URI(t))...)
		if err != nil || !strings.Contains(out, "--- PASS: TestDB") || !strings.Contains(out, "names one") {
			t.Errorf("%v; output:\n%s", err, out)
		}
	})

	t.Run("FailsWhenAGoroutineIsLeft", func(t *testing.T) {
		t.Parallel()
		out, err := again(t, "^TestLeak$", leakEnv+"=1")
		if err == nil || !strings.Contains(out, "goroutines left") {
			t.Errorf("%v; output:\n%s", err, out)
		}
	})
}

func TestLeak(t *testing.T) {
	t.Parallel()
	if os.Getenv(leakEnv) != "" {
		go func() { select {} }()
	}
}
