package term

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty opens a pseudo-terminal of the given width: what a user would see, and the terminal itself.
func pty(t *testing.T, width uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

func TestTerminal(t *testing.T) {
	t.Parallel()

	t.Run("BlockTakesTheRealWidth", func(t *testing.T) {
		t.Parallel()
		screen, tty := pty(t, 57)
		if !IsTerminal(tty) || IsTerminal(screen.Name()) {
			t.Fatal("terminal not recognised")
		}
		term := New(Stdio{In: tty, Out: tty, Err: tty}, Options{Color: ColorNever})
		defer term.Close()
		if term.Width() != 57 || !term.Interactive() {
			t.Errorf("width %d, interactive %v", term.Width(), term.Interactive())
		}
		bar := term.Progress(Head{Script: "s", Target: strings.Repeat("long ", 30)})
		bar.Set(Sample{Done: 1, Total: 2, Rate: 1})
		bar.Done()
		in := bufio.NewScanner(screen)
		for in.Scan() {
			if line := strings.TrimRight(in.Text(), "\r"); strings.HasSuffix(line, "…") {
				if n := len([]rune(Sanitize(line))); n != 56 {
					t.Errorf("%d columns: %q", n, line)
				}
				return
			}
		}
		t.Fatal("no line was shortened")
	})

	t.Run("SecretIsNotShown", func(t *testing.T) {
		t.Parallel()
		screen, tty := pty(t, 80)
		term := New(Stdio{In: tty, Out: tty, Err: tty}, Options{})
		defer term.Close()
		seen := make(chan string)
		go func() {
			r := bufio.NewReader(screen)
			prompt, _ := r.ReadString(':') // the question is out, so echo is off or about to be
			seen <- prompt
			rest, _ := r.ReadString('\n')
			seen <- rest
		}()
		got := make(chan string)
		go func() {
			s, err := term.Secret(t.Context(), "Password")
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
		if prompt := <-seen; prompt != "Password:" {
			t.Fatalf("asked %q", prompt)
		}
		waitForNoEcho(t, tty)
		if _, err := screen.WriteString("hunter2\n"); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "hunter2" {
			t.Errorf("read %q", s)
		}
		if rest := <-seen; strings.Contains(rest, "hunter2") {
			t.Errorf("shown: %q", rest)
		}
	})
}

func waitForNoEcho(t *testing.T, tty *os.File) {
	t.Helper()
	for {
		attr, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if attr.Lflag&unix.ECHO == 0 {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("echo stays on")
		}
	}
}
