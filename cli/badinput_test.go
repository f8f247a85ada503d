package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

type copyUsers struct {
	Batch  int    `default:"10" min:"1"`
	Source string `help:"Where from."`
	Token  string `secret:"true"`
	Ratio  float32
	Small  int8
	Tags   []string
}

func (*copyUsers) Execute(context.Context, *rikki.Run) (any, error) { return "ran", nil }

// testProgram is a program in an environment of its own, without a MongoDB.
func testProgram(vars map[string]string, scripts ...rikki.Script) (p *program, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	env := environ{self: "app", lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
	app := &App{Name: "app", Scripts: scripts}
	return newProgram(app, Stdio{In: strings.NewReader(""), Out: out, Err: errs}, env), out, errs
}

// unreachable is where nobody listens, with a password to be kept.
var unreachable = map[string]string{"MONGODB_URI": "mongodb://bob:geheim@127.0.0.1:1/shop"}

func TestBadInput(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2<<20)
	for _, test := range []struct {
		name string
		args []string
		code int
		want string // in the error
	}{
		{"WrongType", []string{"run", "copy-users", "--batch=many"}, ExitUsage, "--batch"},
		{"Overflow", []string{"run", "copy-users", "--small=300"}, ExitUsage, "--small"},
		{"OverflowInJSON", []string{"run", "copy-users", `--config={"small":300}`}, ExitUsage, "small"},
		{"BelowMinimum", []string{"run", "copy-users", "--batch", "0"}, ExitUsage, "below the minimum 1"},
		{"Twice", []string{"run", "copy-users", "--batch=1", "--batch=2"}, ExitUsage, "given twice"},
		{"Unknown", []string{"run", "copy-users", "--bach=1"}, ExitUsage, "Did you mean --batch?"},
		{"UnknownBeforeTheScript", []string{"run", "--bach=1", "copy-users"}, ExitUsage, "Did you mean --batch?"},
		{"ValueMissing", []string{"run", "copy-users", "--source"}, ExitUsage, "needs a value"},
		{"InvalidUTF8", []string{"run", "copy-users", "--source=a\xff"}, ExitUsage, "--source"},
		{"NUL", []string{"run", "copy-users", "--source=a\x00b"}, ExitUsage, "--source"},
		{"TooLong", []string{"run", "copy-users", "--source=" + long}, ExitUsage, "--source"},
		{"BrokenJSON", []string{"run", "copy-users", `--config={"batch":`}, ExitUsage, "not valid JSON"},
		{"UnknownInJSON", []string{"run", "copy-users", `--config={"bach":1}`}, ExitUsage, "bach"},
		{"NoSuchFile", []string{"run", "copy-users", "--config=@/nowhere/at/all"}, ExitUsage, "no such file"},
		{"SecretOnTheLine", []string{"run", "copy-users", "--token=hunter2"}, ExitUsage, "--token"},
		{"WordTooMany", []string{"run", "copy-users", "please"}, ExitUsage, `unexpected argument "please"`},
		{"ScriptTwice", []string{"run", "copy-users", "copy-users"}, ExitUsage, "unexpected argument"},
		{"NegativeTimeoutWord", []string{"run", "copy-users", "--timeout=never"}, ExitUsage, "--timeout"},
		{"NoScript", []string{"run"}, ExitUsage, "needs the name of a script"},
		{"UnknownScript", []string{"run", "copy-user"}, ExitUsage, "Did you mean copy-users?"},
		{"UnknownCommand", []string{"statsu"}, ExitUsage, "Did you mean status?"},
		{"EmptyCommand", []string{""}, ExitUsage, "unknown command"},
		{"OnlyDashes", []string{"--", "x"}, ExitUsage, "unknown command"},
		{"URIFlag", []string{"status", "--mongodbUri=mongodb://u:hunter2@h/d"}, ExitUsage, "not taken from the command line"},
		{"URIWord", []string{"run", "copy-users", "mongodb+srv://u:hunter2@h/d"}, ExitUsage, "not taken from the command line"},
		{"URIFileMissing", []string{"status", "--uri-file=/nowhere"}, ExitUnreachable, "no such file"},
		{"URIFileIsADirectory", []string{"status", "--uri-file=."}, ExitUnreachable, "--uri-file"},
		{"EmbeddedAndURI", []string{"status", "--embedded"}, ExitUsage, "contradict each other"},
		{"Unreachable", []string{"status", "--connect-timeout=100ms"}, ExitUnreachable, "cannot reach MongoDB"},
		{"UnreachableRun", []string{"run", "copy-users", "--connect-timeout=100ms"}, ExitUnreachable, "cannot reach MongoDB"},
		{"NoBool", []string{"status", "--json=maybe"}, ExitUsage, "--json"},
		{"WrongFormat", []string{"status", "--log-format=xml"}, ExitUsage, "auto, pretty, text, json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, out, errs := testProgram(unreachable, &copyUsers{})
			if code := p.main(t.Context(), test.args); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			all := out.String() + errs.String()
			if !strings.Contains(all, test.want) {
				t.Errorf("%q is missing in:\n%.2000s", test.want, all)
			}
			for _, secret := range []string{"geheim", "hunter2"} {
				if strings.Contains(all, secret) {
					t.Errorf("%s shows up in:\n%s", secret, all)
				}
			}
			if strings.Contains(all, "\x00") || len(all) > 4000 {
				t.Errorf("the input is passed on: %d bytes", len(all))
			}
		})
	}
}

type Timeout struct{ Timeout string }

func (*Timeout) Execute(context.Context, *rikki.Run) (any, error) { return "ran", nil }

func TestScriptsThatTheCommandLineCannotTake(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		scripts []rikki.Script
		want    string
	}{
		{"ParameterNamedLikeAFlag", []rikki.Script{&Timeout{}}, "can't have a parameter named timeout"},
		{"TwoOfOneName", []rikki.Script{&copyUsers{}, &copyUsers{}}, "two scripts are named"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, _, errs := testProgram(nil, test.scripts...)
			if code := p.main(t.Context(), []string{"list", "--offline"}); code != ExitUsage {
				t.Errorf("exit code %d, want %d", code, ExitUsage)
			}
			if !strings.Contains(errs.String(), test.want) {
				t.Errorf("%q is missing in:\n%s", test.want, errs)
			}
		})
	}
}

func TestInterruptedBeforeItBegan(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&SignalError{os.Interrupt})
	p, _, errs := testProgram(unreachable, &copyUsers{})
	if code := p.main(ctx, []string{"run", "copy-users"}); code != ExitSIGINT {
		t.Errorf("exit code %d, want %d; %s", code, ExitSIGINT, errs)
	}
}

// Ctrl-C while a run is watched comes between two looks at it, or in the middle of one.
func TestLeavingARunThatIsWatched(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	p, _, errs := testProgram(nil)
	s := &session{p: p}
	if err := s.leave(ctx, io.EOF, "The run goes on."); !errors.Is(err, io.EOF) || errs.Len() > 0 {
		t.Errorf("before: %v, %s", err, errs)
	}
	cancel(&SignalError{os.Interrupt})
	if err := s.leave(ctx, nil, "The run goes on."); err != nil || errs.Len() > 0 {
		t.Errorf("it had ended: %v, %s", err, errs)
	}
	for name, err := range map[string]error{"between two looks": context.Cause(ctx), "in the middle of one": fmt.Errorf("runs: %w", ctx.Err())} {
		errs.Reset()
		if code := exitOf(s.leave(ctx, err, "The run goes on.")); code != ExitSIGINT || !strings.Contains(errs.String(), "The run goes on.") {
			t.Errorf("%s: exit code %d; %s", name, code, errs)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestAReaderThatGoesAwayIsNoError(t *testing.T) {
	t.Parallel()
	p, _, errs := testProgram(nil, &copyUsers{})
	p.std.Out = brokenPipe{}
	if code := p.main(t.Context(), []string{"list", "--offline"}); code != exitBrokenPipe {
		t.Errorf("exit code %d, want %d", code, exitBrokenPipe)
	}
	if errs.Len() > 0 {
		t.Errorf("it complains: %s", errs)
	}
}

func TestExitCodesAreListedOnce(t *testing.T) {
	t.Parallel()
	var seen []int
	for _, code := range ExitCodes() {
		if slices.Contains(seen, code.Code) || code.Meaning == "" {
			t.Errorf("exit code %d is listed twice or means nothing", code.Code)
		}
		seen = append(seen, code.Code)
	}
}

// FuzzCommandLine reads command lines as they come. None may panic, print a secret or be read without an answer.
func FuzzCommandLine(f *testing.F) {
	for _, seed := range []string{
		"run\ncopy-users\n--batch=5", "--json\nrun\ncopy-users\n--config={}", "run\n--\ncopy-users", "run\n-\n--=\n---x",
		"runs\n--plain\nlist", "run\ncopy-users\n--tags=@@x\n--no-batch", "--uri\nmongodb://a:b@c", "help\nrun\n-h",
		"__complete\nrun\n--b", "config\nset", "-qv\nlist", "run\ncopy-users\n--token=hunter2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		if slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, "@/") }) {
			t.Skip("files of this machine are none of a fuzzer's business")
		}
		p, out, errs := testProgram(nil, &copyUsers{})
		root := newRootCommand(p)
		arranged := p.arrange(root, args)
		if len(arranged) != len(args) {
			t.Errorf("%q became %q", args, arranged)
		}
		if _, err := p.readRun(t.Context(), args); err != nil {
			p.end(err)
		}
		if all := out.String() + errs.String(); strings.Contains(all, "hunter2") {
			t.Errorf("a secret shows up: %s", all)
		}
	})
}

// How large a chunk may be is the same for an undo, for a run that is tuned and for one that begins.
func TestOneLimitForChunks(t *testing.T) {
	t.Parallel()
	limit := func(flags any) string {
		field, ok := reflect.TypeOf(flags).FieldByName("Chunk")
		if !ok {
			t.Errorf("%T has no chunk", flags)
		}
		return field.Tag.Get("max")
	}
	want := limit(backfill.Knobs{})
	for _, flags := range []any{paceFlags{}, tuneFlags{}} {
		if most := limit(flags); most != want {
			t.Errorf("%T takes chunks of up to %q, want %q", flags, most, want)
		}
	}
}
