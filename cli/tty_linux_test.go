package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rikki-go/rikki/internal/mongotest"
)

// session is a program on a terminal, as somebody who sits at it has it.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	screen *os.File // what is typed goes in, what is shown comes out
	tty    *os.File

	mu    sync.Mutex
	bytes bytes.Buffer  // what came
	shown *screen       // what is to be seen of it
	ended chan struct{} // nothing more will be shown
}

// columns is the width of the terminals here.
const columns = 80

// onTerminal starts the demo program on a terminal, with databases of its own.
func onTerminal(t *testing.T, args ...string) *session {
	t.Helper()
	name := "tty_" + strings.ToLower(rand.Text()[:10])
	client := mongotest.Client(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, db := range []string{name, name + "_history"} {
			if err := client.Database(db).Drop(ctx); err != nil {
				t.Error("drop the test's database:", err)
			}
		}
	})
	return onTerminalWith(t, []string{
		"TERM=xterm", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "DEMO_HISTORY=" + name + "_history",
		"MONGODB_URI=" + strings.Replace(mongotest.URI(t), "/?", "/"+name+"?", 1),
	}, args...)
}

// onTerminalWith does so in an environment that several terminals may share.
func onTerminalWith(t *testing.T, env []string, args ...string) *session {
	t.Helper()
	s := &session{t: t, ended: make(chan struct{}), shown: newScreen(columns)}
	s.open(columns)
	s.cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	s.cmd.Args[0] = "demo" // testscript.Main goes by that
	s.cmd.Dir = t.TempDir()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.cmd.Env = env
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read()
	return s
}

func (s *session) open(width uint16) {
	s.t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Skip("no pseudo-terminals here: ", err)
	}
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		s.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		s.t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		s.t.Fatal(err)
	}
	s.screen, s.tty = screen, tty
}

// read keeps what is shown until the last program has let go of the terminal.
func (s *session) read() {
	defer close(s.ended)
	buf := make([]byte, 4096)
	for {
		n, err := s.screen.Read(buf)
		s.mu.Lock()
		s.bytes.Write(buf[:n])
		s.shown.write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// text is what somebody sees who scrolls up to the beginning.
func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// raw is all that the program sent to the terminal.
func (s *session) raw() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes.String()
}

// sees waits until the text is shown.
func (s *session) sees(text string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%q is not shown", text), func() bool { return strings.Contains(s.text(), text) })
}

func (s *session) until(complaint string, done func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(storyPatience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s within %s:\n%s", complaint, storyPatience, s.text())
		}
		<-ticker.C
	}
}

// echoes tells whether the terminal shows what is typed.
func (s *session) echoes() bool {
	attr, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Error(err)
		return false
	}
	return attr.Lflag&unix.ECHO != 0
}

func (s *session) types(keys string) {
	s.t.Helper()
	if _, err := s.screen.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// exits waits for the end and returns all that was shown.
func (s *session) exits(code int) string {
	s.t.Helper()
	err := s.cmd.Wait()
	_, ok := errors.AsType[*exec.ExitError](err)
	if got := s.cmd.ProcessState.ExitCode(); got != code || err != nil && !ok {
		s.t.Errorf("exit code %d, want %d; %v", got, code, err)
	}
	if !s.echoes() {
		s.t.Error("the terminal doesn't show any more what is typed")
	}
	_ = s.tty.Close() // the last one: now the screen ends
	<-s.ended
	_ = s.screen.Close()
	return s.text()
}

const ctrlC = "\x03"

func TestOnATerminal(t *testing.T) {
	t.Parallel()

	t.Run("RunShowsWhereAndHowItEnded", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "greet", "--name=Ada")
		shown := s.exits(0)
		for _, want := range []string{"Connecting to mongodb://", "from MONGODB_URI", "INF", "✓ greet finished in", "→  demo runs show r_"} {
			if !strings.Contains(shown, want) {
				t.Errorf("%q is missing in:\n%s", want, shown)
			}
		}
		if want := "\x1b[32m✓\x1b[0m"; !strings.Contains(s.raw(), want) {
			t.Errorf("the tick is not green in:\n%q", s.raw())
		}
		if strings.Contains(shown, "run_id") {
			t.Errorf("log lines repeat what the bar says:\n%s", shown)
		}
	})

	t.Run("CtrlCStopsASilentRun", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "hang")
		s.sees("  running   ")
		s.types(ctrlC)
		s.sees("Press Ctrl-C again to exit now.")
		if shown := s.exits(4); !strings.Contains(shown, "hang was interrupted after") {
			t.Errorf("shown:\n%s", shown)
		}
	})

	t.Run("CtrlCLeavesARunThatIsWatched", func(t *testing.T) {
		t.Parallel()
		run := onTerminal(t, "run", "hang")
		run.sees("  running   ")
		watch := onTerminalWith(t, run.cmd.Env, "runs", "watch", "last")
		watch.sees("  running   ")
		logs := onTerminalWith(t, run.cmd.Env, "runs", "logs", "last", "--follow")
		logs.sees("WAR hanging")
		for _, s := range []*session{watch, logs} {
			s.types(ctrlC)
			if shown := s.exits(130); !strings.Contains(shown, "The run goes on.") || strings.Contains(shown, "error") {
				t.Errorf("shown:\n%s", shown)
			}
		}
		run.types(ctrlC)
		run.exits(4)
	})

	t.Run("SecretIsAskedForAndNotShown", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "vault")
		s.sees("Key of the vault:")
		s.until("the answer would be shown", func() bool { return !s.echoes() })
		s.types("geheim\n")
		if shown := s.exits(0); strings.Contains(s.raw(), "geheim") || !strings.Contains(shown, "6\n") {
			t.Errorf("shown:\n%s", shown)
		}
	})

	t.Run("CtrlCEndsAQuestion", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "vault")
		s.sees("Key of the vault:")
		s.until("the answer would be shown", func() bool { return !s.echoes() })
		s.types(ctrlC)
		s.exits(130)
	})

	t.Run("OtherFaultsAreToldBeforeAnyQuestion", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "vault", "--kee=x")
		if shown := s.exits(2); strings.Contains(shown, "Key of the vault") || !strings.Contains(shown, "Did you mean --key?") {
			t.Errorf("shown:\n%s", shown)
		}
	})

	t.Run("ProtectedDatabaseIsTypedBack", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "greet", "--name=Ada")
		s.exits(0)
		env := append(s.cmd.Env, "RIKKI_PROTECTED=tty_*")
		s = onTerminalWith(t, env, "run", "greet", "--name=Ada", "--yes")
		s.sees("which is protected.")
		s.sees("to go on: ")
		s.types("shop\n")
		if shown := s.exits(5); !strings.Contains(shown, "that is not the name of the database") {
			t.Errorf("shown:\n%s", shown)
		}
		typed := onTerminalWith(t, env, "run", "greet", "--name=Ada")
		typed.sees("to go on: ")
		typed.types(nameIn(env) + "\n")
		if shown := typed.exits(0); !strings.Contains(shown, "greet finished in") {
			t.Errorf("shown:\n%s", shown)
		}
	})

	t.Run("NoInputNeverAsks", func(t *testing.T) {
		t.Parallel()
		s := onTerminal(t, "run", "vault", "--no-input")
		if shown := s.exits(2); !strings.Contains(shown, "VAULT_KEY") {
			t.Errorf("shown:\n%s", shown)
		}
	})
}

// nameIn is the name of the database that a terminal's environment points at.
func nameIn(env []string) string {
	for _, v := range env {
		if history, ok := strings.CutPrefix(v, "DEMO_HISTORY="); ok {
			return strings.TrimSuffix(history, "_history")
		}
	}
	return ""
}
