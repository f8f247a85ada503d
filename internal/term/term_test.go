package term

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/locked"
	"github.com/rikki-go/rikki/internal/plain"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostile holds what data must never do: set the title, clear the screen, colour, move up, forge a line, reorder text.
const hostile = "a\x1b]0;pwned\x07b\x1b[2J\x1b[31mc\x1b[1A\rd\nerror: forged\u202e\u009b1;1H\x00\x7f"

type testBundle struct {
	*Term
	out, err *locked.Buffer
}

func setup(t *testing.T, opts Options) *testBundle {
	t.Helper()
	b := &testBundle{out: &locked.Buffer{}, err: &locked.Buffer{}}
	b.Term = New(Stdio{Out: b.out, Err: b.err}, opts)
	t.Cleanup(b.Close)
	return b
}

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func mustBeHarmless(t *testing.T, where, s string) {
	t.Helper()
	for _, r := range s {
		if r != '\n' && r != '\t' && plain.Unsafe(r) {
			t.Fatalf("%s contains %U: %q", where, r, s)
		}
	}
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "error: forged") {
			t.Fatalf("%s contains a forged line: %q", where, s)
		}
	}
}

func TestColor(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		mode ColorMode
		env  func(string) string
		tty  bool
		want bool
	}{
		{"TerminalIsColoured", "", env(), true, true},
		{"PipeIsNot", "", env(), false, false},
		{"FlagBeatsNoColor", ColorAlways, env("NO_COLOR", "1"), false, true},
		{"FlagBeatsForce", ColorNever, env("FORCE_COLOR", "1"), true, false},
		{"NoColorBeatsForce", ColorAuto, env("NO_COLOR", "1", "CLICOLOR_FORCE", "1"), true, false},
		{"EmptyNoColorMeansNothing", ColorAuto, env("NO_COLOR", ""), true, true},
		{"CliColorForceBeatsPipe", ColorAuto, env("CLICOLOR_FORCE", "1"), false, true},
		{"ForceColorBeatsDumb", ColorAuto, env("FORCE_COLOR", "1", "TERM", "dumb"), false, true},
		{"ForceColorZeroForcesNothing", ColorAuto, env("FORCE_COLOR", "0"), false, false},
		{"DumbTerminalIsNot", ColorAuto, env("TERM", "dumb"), true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := colored(test.mode, test.env, test.tty); got != test.want {
				t.Errorf("colored = %v, want %v", got, test.want)
			}
		})
	}

	t.Run("StreamsAreJudgedSeparately", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{Terminal: &Terminal{Err: true}})
		if b.outColor || !b.errColor {
			t.Errorf("stdout coloured %v, stderr coloured %v; want false, true", b.outColor, b.errColor)
		}
	})
	t.Run("UnknownValueIsRefused", func(t *testing.T) {
		t.Parallel()
		if _, err := ParseColor("sometimes"); err == nil {
			t.Error("no error")
		}
		if _, err := ParseLogFormat("xml"); err == nil {
			t.Error("no error")
		}
	})
}

func TestPrinters(t *testing.T) {
	t.Parallel()

	t.Run("ResultsGoToStdoutAndTheRestToStderr", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		if err := b.Print("%d runs", 3); err != nil {
			t.Fatal(err)
		}
		b.Note("reading %s", "history")
		b.Done("finished")
		b.Failed("stopped")
		b.Warn("no history")
		b.Next("rikki runs list")
		if diff := cmp.Diff("3 runs\n", b.out.String()); diff != "" {
			t.Error(diff)
		}
		want := "reading history\n✓ finished\n✗ stopped\nwarning: no history\n  rikki runs list\n"
		if diff := cmp.Diff(want, b.err.String()); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("QuietKeepsResultsAndWarnings", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{Quiet: true})
		b.Note("n")
		b.Done("d")
		b.Warn("w")
		if err := b.Print("r"); err != nil {
			t.Fatal(err)
		}
		if got := b.err.String(); got != "warning: w\n" {
			t.Errorf("stderr = %q", got)
		}
		if got := b.out.String(); got != "r\n" {
			t.Errorf("stdout = %q", got)
		}
	})

	t.Run("HostileDataIsHarmlessEverywhere", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(b.Print("%s", hostile))
		b.Note("%s", hostile)
		b.Warn("%s", hostile)
		b.Done("%s", hostile)
		b.Problem(Problem{What: hostile, Why: hostile, Fix: hostile, Stack: hostile})
		check(b.Table(Table{Columns: []Column{{Name: "A"}, {Name: "B"}}, Rows: [][]string{{hostile, "x"}}}))
		check(b.Fields(Field{hostile, hostile}))
		check(b.Event(map[string]string{hostile: hostile}))
		if _, err := b.Out().Write([]byte(b.Link(hostile, hostile) + "\n")); err != nil {
			t.Fatal(err)
		}
		mustBeHarmless(t, "stdout", b.out.String())
		mustBeHarmless(t, "stderr", b.err.String())
		if !strings.Contains(b.out.String(), "forged") {
			t.Error("the text itself was lost")
		}
	})

	t.Run("CredentialsAreRedactedEverywhere", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		uri := "mongodb://app:canary-4711@db1/shop"
		b.Note("connecting to %s", uri)
		b.Problem(Problem{What: uri, Why: uri, Fix: uri})
		if err := errors.Join(b.Print("%s", uri), b.Fields(Field{"uri", uri}),
			b.Table(Table{Columns: []Column{{Name: "uri"}}, Rows: [][]string{{uri}}})); err != nil {
			t.Fatal(err)
		}
		if all := b.out.String() + b.err.String(); strings.Contains(all, "canary") || !strings.Contains(all, "db1") {
			t.Errorf("printed %q", all)
		}
	})

	t.Run("RedactorOfTheCallerIsUsed", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{Redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }})
		b.Note("key is %s", "hunter2")
		if got := b.err.String(); got != "key is ***\n" {
			t.Errorf("stderr = %q", got)
		}
	})

	t.Run("LinkIsReadableWithoutTerminal", func(t *testing.T) {
		t.Parallel()
		plain := setup(t, Options{})
		if got := plain.Link("run", "http://localhost/r"); got != "run (http://localhost/r)" {
			t.Errorf("plain link = %q", got)
		}
		tty := setup(t, Options{Terminal: &Terminal{Out: true}})
		if got := tty.Link("run", "http://localhost/r"); got != "\x1b]8;;http://localhost/r\x1b\\run\x1b]8;;\x1b\\" {
			t.Errorf("terminal link = %q", got)
		}
	})
}

func TestProblem(t *testing.T) {
	t.Parallel()

	p := Problem{
		What: `cannot reach MongoDB at mongodb://***@db1:27017 (5s)`,
		Why:  "server selection timed out; connection refused on db1:27017",
		Fix:  "check the address, or run\nrikki doctor",
		Code: 7,
	}
	t.Run("HasThreeLines", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		b.Problem(p)
		golden(t, "problem.txt", b.err.String())
		if got := b.out.String(); got != "" {
			t.Errorf("stdout = %q", got)
		}
	})
	t.Run("LeavesOutWhatIsUnknown", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		b.Problem(Problem{What: "unknown flag --batchsize. Did you mean --batch-size?"})
		if got := b.err.String(); got != "error: unknown flag --batchsize. Did you mean --batch-size?\n" {
			t.Errorf("stderr = %q", got)
		}
	})
	t.Run("IsAnObjectUnderJSON", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{JSON: true})
		b.Problem(p)
		golden(t, "problem.json", b.out.String())
	})
}

func TestJSON(t *testing.T) {
	t.Parallel()

	t.Run("EscapesWhatEncodingJSONLeaves", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{JSON: true})
		if err := b.Event(map[string]string{"v": "a\u009b2J\u202eb\u007f <é>"}); err != nil {
			t.Fatal(err)
		}
		if got, want := b.out.String(), `{"v":"a\u009b2J\u202eb\u007f <é>"}`+"\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("SaysWhatCannotBeEncoded", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{JSON: true})
		if err := b.Result(map[string]any{"f": func() {}}); err == nil || b.out.String() != "" {
			t.Errorf("err = %v, stdout = %q", err, b.out.String())
		}
	})
}
