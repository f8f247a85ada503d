package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Options says how a [Term] writes. The zero value is what a person at a terminal wants.
type Options struct {
	// Color is the value of --color. Zero means auto.
	Color ColorMode
	// JSON is --json: results, events and errors are JSON on stdout; notes and progress are silent.
	JSON bool
	// Plain is --plain: tables are tab-separated, without header, alignment, wrapping or colour.
	Plain bool
	// Quiet is --quiet: no notes and no progress. Results, warnings and errors stay.
	Quiet bool
	// NoInput is --no-input: never prompt, even on a terminal.
	NoInput bool
	// LogFormat is --log-format. Zero means auto.
	LogFormat LogFormat
	// Redact is applied to all data before it is printed. Nil changes nothing but MongoDB URIs.
	Redact func(string) string
	// Getenv looks up NO_COLOR, TERM, CI and the like. Nil means an empty environment, so that tests are alike everywhere.
	Getenv func(string) string
	// Now stamps progress lines. Nil means time.Now.
	Now func() time.Time
	// Terminal overrides the detection per stream, for tests. Nil means detect.
	Terminal *Terminal
}

// Terminal says which streams are terminals, and how wide they are.
type Terminal struct {
	In, Out, Err bool
	Width        int
}

// Term writes to and reads from the streams of one command. It may be used by several goroutines.
type Term struct {
	std      Stdio
	opts     Options
	tty      Terminal
	outColor bool
	errColor bool
	live     bool // stderr can show a block that is redrawn
	restore  func()

	mu    sync.Mutex // guards board, and keeps lines whole
	board *board     // the live block, while there is one
	ask   reader
}

// New returns a Term over the given streams.
func New(std Stdio, opts Options) *Term {
	std = std.withDefaults()
	if opts.Getenv == nil {
		opts.Getenv = func(string) string { return "" }
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	t := &Term{std: std, opts: opts, ask: reader{from: std.In}}
	if opts.Terminal != nil {
		t.tty = *opts.Terminal
	} else {
		t.tty = Terminal{In: IsTerminal(std.In), Out: IsTerminal(std.Out), Err: IsTerminal(std.Err)}
	}
	t.outColor = colored(opts.Color, opts.Getenv, t.tty.Out) && !opts.JSON && !opts.Plain
	t.errColor = colored(opts.Color, opts.Getenv, t.tty.Err)
	t.live = t.tty.Err && opts.Getenv("TERM") != "dumb" && opts.Getenv("CI") == ""
	t.restore = enableVT(std.Out, std.Err)
	return t
}

// Close ends a live block that was left open and gives the terminal back as it was found.
func (t *Term) Close() {
	t.mu.Lock()
	b := t.board
	t.mu.Unlock()
	if b != nil {
		b.close()
	}
	t.restore()
}

// JSON reports whether the caller should print its JSON twin with [Term.Result].
func (t *Term) JSON() bool { return t.opts.JSON }

// Plain reports whether --plain was given.
func (t *Term) Plain() bool { return t.opts.Plain }

// Quiet reports whether --quiet was given.
func (t *Term) Quiet() bool { return t.opts.Quiet }

// Interactive reports whether a question can be asked and answered: stdin and stderr are terminals, and neither
// --no-input nor --json was given.
func (t *Term) Interactive() bool {
	return t.tty.In && t.tty.Err && !t.opts.NoInput && !t.opts.JSON
}

// Width returns the columns of the terminal that shows stdout, or 0 when there is none.
func (t *Term) Width() int { return t.width(t.tty.Out, t.std.Out) }

func (t *Term) width(tty bool, stream any) int {
	switch {
	case !tty:
		return 0
	case t.tty.Width > 0:
		return t.tty.Width
	}
	if w := widthOf(stream); w > 0 {
		return w
	}
	return 80
}

// Out returns stdout: results only. It does not sanitize; prefer the printers.
func (t *Term) Out() io.Writer { return stream{t: t, to: t.std.Out, above: t.tty.Out && t.tty.Err} }

// Err returns stderr. While a live block is shown, lines written here scroll above it. It does not sanitize.
func (t *Term) Err() io.Writer { return stream{t: t, to: t.std.Err, above: true} }

// In returns stdin.
func (t *Term) In() io.Reader { return t.std.In }

// Print writes one line of result to stdout. Every argument is data.
func (t *Term) Print(format string, args ...any) error {
	_, err := io.WriteString(t.Out(), t.format(format, args)+"\n")
	return err
}

// Note tells the reader something in passing, on stderr; --quiet and --json silence it.
func (t *Term) Note(format string, args ...any) {
	if t.opts.Quiet || t.opts.JSON {
		return
	}
	t.line(t.format(format, args))
}

// Done tells that something succeeded: a note with a tick.
func (t *Term) Done(format string, args ...any) {
	if t.opts.Quiet || t.opts.JSON {
		return
	}
	t.line(paint(t.errColor, green, "✓") + " " + t.format(format, args))
}

// Failed tells that something did not succeed, where the reason is said elsewhere: a note with a cross.
func (t *Term) Failed(format string, args ...any) {
	if t.opts.Quiet || t.opts.JSON {
		return
	}
	t.line(paint(t.errColor, red, "✗") + " " + t.format(format, args))
}

// Warn writes a warning to stderr, also under --quiet.
func (t *Term) Warn(format string, args ...any) {
	t.line(paint(t.errColor, yellow, "warning:") + " " + t.format(format, args))
}

// Next suggests the commands to type next, one per line, as notes.
func (t *Term) Next(commands ...string) {
	for _, c := range commands {
		t.Note("  %s", c)
	}
}

// Link makes text a hyperlink on a terminal, and leaves text and address readable elsewhere. The result is meant for
// [Term.Out] or [Term.Err], because the printers would strip it again.
func (t *Term) Link(text, address string) string {
	text, address = t.data(text), t.data(address)
	if !t.tty.Out || !t.outColor {
		if text == address {
			return address
		}
		return text + " (" + address + ")"
	}
	return "\x1b]8;;" + address + "\x1b\\" + text + "\x1b]8;;\x1b\\"
}

// data is the one gate for text that this package did not write itself: redacted, then one harmless line.
func (t *Term) data(s string) string { return Sanitize(t.redact(s)) }

func (t *Term) format(format string, args []any) string {
	if len(args) == 0 {
		return t.lines(format)
	}
	return t.lines(fmt.Sprintf(format, args...))
}

// lines sanitizes a message that may have line breaks of its own; those of its data cannot be told apart, so all of
// them are kept and continued lines are indented: a forged line never starts in column one.
func (t *Term) lines(s string) string {
	return strings.ReplaceAll(Block(t.redact(s)), "\n", "\n  ")
}

func (t *Term) line(s string) {
	// Nothing useful can be done when stderr is gone, and the exit code still tells the outcome.
	_, _ = io.WriteString(t.Err(), s+"\n")
}
