package canary_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/locked"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/params"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

// The secrets. Each has letters that nothing else in the output has.
const (
	password   = "p@ss:w0rd/CANARY7f3a%?x" // of the URI, with every letter that confuses a scanner
	parameter  = "tok\"en\\CANARY7f3b"     // needs escaping in JSON
	nested     = "CANARY7f3c-nested"
	wrong      = "CANARY7f3d-wrong" // a password that the server refuses
	keyFile    = "CANARY7f3e"       // password of a TLS key
	properties = "CANARY7f3f"       // of an authentication mechanism
)

// needles are what must not be found: the secrets, raw and as URIs and JSON
// write them.
func needles() []string {
	var all []string
	for _, secret := range []string{password, parameter, nested, wrong, keyFile, properties} {
		quoted := strings.Trim(fmt.Sprintf("%q", secret), `"`)
		all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret), quoted)
	}
	return append(all, "CANARY7f3")
}

// Talker says its secrets wherever it can.
type Talker struct {
	Token  params.Secret `env:"CANARY_TOKEN"`
	Inner  inner
	Manner string `enum:"log,fail,panic,hang,result,leak" default:"log"`
	out    io.Writer
}

type inner struct {
	Key string `secret:"true" env:"CANARY_KEY"`
}

// Options keeps the hanging manner short.
func (*Talker) Options() rikki.Options {
	return rikki.Options{Timeout: 100 * time.Millisecond, Grace: 50 * time.Millisecond}
}

// Execute says secrets in the manner asked for.
func (s *Talker) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	said := fmt.Sprintf("token %s, key %s, password %s", s.Token.Reveal(), s.Inner.Key, password)
	run.Progress().SetMessage(said)
	switch s.Manner {
	case "fail":
		return nil, fmt.Errorf("calling a service: %w", errors.New(said))
	case "panic":
		panic(said)
	case "hang":
		<-ctx.Done()
		return nil, fmt.Errorf("%s: %w", said, ctx.Err())
	case "result":
		return map[string]any{"said": said, "script": *s, "token": s.Token}, nil
	case "leak":
		_, err := io.WriteString(s.out, said)
		return nil, err
	}
	run.Log().Info(said, "token", s.Token, "revealed", s.Token.Reveal(), "err", errors.New(said), "script", *s, "doc", bson.M{"k": said})
	return nil, nil
}

// stage is a server that demands a password, and a program for it.
type stage struct {
	root   *mongo.Client
	server *embedded.Server
	out    locked.Buffer
	dir    string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{server: mongotest.Dedicated(t, &embedded.Options{Standalone: true, Args: []string{"--auth"}}), dir: t.TempDir()}
	client, err := mongo.Connect(options.Client().ApplyURI(s.server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Database("admin").RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: "app"}, {Key: "pwd", Value: password}, {Key: "roles", Value: bson.A{"root"}},
	}).Err(); err != nil {
		t.Fatal(err)
	}
	_ = client.Disconnect(t.Context())
	if s.root, err = mongo.Connect(options.Client().ApplyURI(s.uri(password, ""))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.root.Disconnect(context.Background()) })
	return s
}

func (s *stage) uri(pass, more string) string {
	return fmt.Sprintf("mongodb://app:%s@127.0.0.1:%d/stage?authSource=admin&directConnection=true%s",
		url.QueryEscape(pass), s.server.Port(), more)
}

// run runs a command line with a URI in a file, as a user would.
func (s *stage) run(t *testing.T, uri string, args ...string) int {
	t.Helper()
	file := filepath.Join(s.dir, "uri")
	if err := os.WriteFile(file, []byte(uri), 0o600); err != nil {
		t.Fatal(err)
	}
	app := &cli.App{
		Name: "stage", Scripts: []rikki.Script{&Talker{out: &s.out}},
		Config: rikki.Config{Conn: conn.Config{ConnectFor: time.Second}},
	}
	_, _ = io.WriteString(&s.out, "\n$ "+strings.Join(args, " ")+"\n") // a buffer takes everything
	args = append(args, "--uri-file="+file, "--debug", "--verbose")
	return cli.Run(t.Context(), app, args, cli.Stdio{Out: &s.out, Err: &s.out})
}

// stored is everything in the server's databases but its own users.
func (s *stage) stored(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"rikki", "stage"} {
		db := s.root.Database(name)
		collections, err := db.ListCollectionNames(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		for _, collection := range collections {
			cursor, err := db.Collection(collection).Find(t.Context(), bson.D{})
			if err != nil {
				t.Fatal(err)
			}
			for cursor.Next(t.Context()) {
				fmt.Fprintf(&all, "%s.%s %s\n", name, collection, cursor.Current.String())
			}
			if err := cursor.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all.String()
}

// search returns what stands before each secret that the text has. It leaves
// the secrets themselves out, since it is printed.
func search(text string) (before []string) {
	for _, needle := range needles() {
		if i := strings.Index(text, needle); i >= 0 {
			before = append(before, text[max(0, i-80):i])
		}
	}
	return before
}

//nolint:paralleltest // it sets the environment
func TestNoSecretComesOut(t *testing.T) {
	t.Setenv("CANARY_TOKEN", parameter)
	t.Setenv("CANARY_KEY", nested)
	s := newStage(t)
	good := s.uri(password, "")

	codes := make(map[int]int)
	for _, manner := range []string{"log", "fail", "panic", "hang", "result"} {
		for _, format := range []string{"--log-format=pretty", "--log-format=json", "--json", "--events"} {
			codes[s.run(t, good, "run", "talker", "--manner="+manner, format)]++
		}
	}
	for _, args := range [][]string{
		{"run", "talker", "--token=" + parameter},
		{"run", "talker", "--tokne=" + parameter},
		{"run", "talker", `--config={"token":"` + nested + `"}`},
		{"runs", "list"},
		{"runs", "list", "--json"},
		{"runs", "show", "last"},
		{"runs", "show", "last", "--json"},
		{"runs", "logs", "last"},
		{"runs", "logs", "last", "--json"},
		{"status"},
		{"status", "--json"},
		{"doctor"},
		{"doctor", "--json"},
		{"list"},
		{"list", "--json"},
		{"run", "talker", "--help"},
		{"version"},
	} {
		codes[s.run(t, good, args...)]++
	}
	bad := map[string]string{
		"a wrong password":        s.uri(wrong, ""),
		"an unescaped password":   strings.Replace(good, url.QueryEscape(password), password, 1),
		"a TLS key's password":    s.uri(password, "&tls=true&tlsCertificateKeyFilePassword="+keyFile+"&tlsCertificateKeyFile=/nowhere.pem"),
		"a mechanism's property":  s.uri(password, "&authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:"+properties),
		"an unknown host":         "mongodb://app:" + wrong + "@nowhere.invalid/stage",
		"nobody listening":        "mongodb://app:" + wrong + "@127.0.0.1:1/stage",
		"a port that is no port":  "mongodb://app:" + wrong + "@127.0.0.1:x/stage",
		"a malformed percentage":  "mongodb://app:" + wrong + "%zz@127.0.0.1/stage",
		"no scheme":               "app:" + wrong + "@127.0.0.1/stage",
		"an unknown option":       s.uri(password, "&nonsense="+properties),
		"a server without TLS":    s.uri(password, "&tls=true&serverSelectionTimeoutMS=300"),
		"a name that SRV forbids": "mongodb+srv://app:" + wrong + "@localhost:1/stage",
	}
	for what, uri := range bad {
		for _, args := range [][]string{{"run", "talker"}, {"status"}, {"doctor", "--json"}} {
			// An unknown option is a warning to the driver.
			if code := s.run(t, uri, args...); code == 0 && what != "an unknown option" {
				t.Errorf("%v succeeded with %s", args, what)
			}
		}
	}
	if codes[cli.ExitOK] == 0 || codes[cli.ExitFailed] == 0 || codes[cli.ExitUsage] == 0 {
		t.Errorf("exit codes %v: success, failure and wrong usage must all have happened", codes)
	}

	output := s.out.Take()
	// What the user typed is echoed by this test itself.
	output = strings.ReplaceAll(output, "$ run talker --token="+parameter, "")
	output = strings.ReplaceAll(output, "$ run talker --tokne="+parameter, "")
	output = strings.ReplaceAll(output, `$ run talker --config={"token":"`+nested+`"}`, "")
	kept := s.stored(t)
	if len(output) < 20_000 || !strings.Contains(kept, "rikki.logs") || !strings.Contains(kept, "rikki.runs") {
		t.Fatalf("only %d bytes of output and %d stored: the test looks at too little", len(output), len(kept))
	}
	for where, text := range map[string]string{"the output": output, "the history": kept} {
		for _, before := range search(text) {
			t.Errorf("%s has a secret after %q", where, before)
		}
	}

	t.Run("ALeakWouldBeFound", func(t *testing.T) {
		s.run(t, good, "run", "talker", "--manner=leak")
		if len(search(s.out.Take())) == 0 {
			t.Error("the search is blind")
		}
	})
}
