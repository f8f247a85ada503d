package rikki

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/rikki-go/rikki/internal/child"
	"github.com/rikki-go/rikki/internal/plain"
	"github.com/rikki-go/rikki/internal/redact"
)

const (
	// maxExecLine is how much of a line is kept in the log, in bytes.
	maxExecLine = 8 << 10
	// execOverlap is looked at behind the cut, so that no secret is cut in two
	// and thereby not recognised.
	execOverlap = 2 << 10
)

// execStream is one of the outputs of a program. Its caps are below those of
// the run's log, so that a flood on one leaves room for the other, and for what
// the runner itself has to say.
type execStream struct {
	name     string
	warns    bool // level warn rather than info
	maxLines int
	maxBytes int

	lines int   // kept
	kept  int   // bytes of them
	lost  int64 // lines over the caps
	bytes int64 // in all
}

// execOutput turns what a program prints into the log, the progress and the
// result of its run.
type execOutput struct {
	run     *Run
	secrets *redact.Redactor

	mu      sync.Mutex
	streams [2]execStream
	// held is the last line of standard output if it is a JSON object or array:
	// the result, if nothing follows.
	held []byte
	// last and telling are lines of standard error: the last, and the last that
	// looks like an error's message.
	last, telling []byte
}

func newExecOutput(run *Run, secrets *redact.Redactor) *execOutput {
	out := &execOutput{run: run, secrets: secrets}
	out.streams[child.Stdout] = execStream{name: "standard output", maxLines: 8_000, maxBytes: 5 << 20}
	out.streams[child.Stderr] = execStream{name: "standard error", warns: true, maxLines: 1_500, maxBytes: 2 << 20}
	return out
}

// line takes one line of output.
func (o *execOutput) line(stream child.Stream, line child.Line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &o.streams[stream]
	s.bytes += int64(len(line.Text)) + line.Cut + 1
	text := bytes.TrimRight(line.Text, " \t")
	if o.progress(text) || line.Overwritten || len(text) == 0 {
		return
	}
	if stream == child.Stdout {
		o.release()
		if line.Cut == 0 && looksLikeResult(text) {
			o.held = bytes.Clone(text)
			return
		}
	}
	o.log(s, text, line.Cut)
}

// release logs the line that might have been the result but wasn't the last.
func (o *execOutput) release() {
	if o.held != nil {
		o.log(&o.streams[child.Stdout], o.held, 0)
		o.held = nil
	}
}

func (o *execOutput) log(s *execStream, raw []byte, cut int64) {
	if s.warns {
		o.last = append(o.last[:0], start(raw)...)
		if tellingLine(raw) {
			o.telling = append(o.telling[:0], start(raw)...)
		}
	}
	if s.full() {
		o.drop(s)
		return
	}
	text := o.text(raw, cut)
	s.lines++
	s.kept += len(text)
	if s.warns {
		o.run.Log().Warn(text)
	} else {
		o.run.Log().Info(text)
	}
}

func (s *execStream) full() bool { return s.lines >= s.maxLines || s.kept >= s.maxBytes }

// drop counts a line that isn't kept, and says so once.
func (o *execOutput) drop(s *execStream) {
	if s.lost++; s.lost == 1 {
		o.run.Log().Warn("the program prints too much: from here on its "+s.name+" is only counted", "lines", s.lines, "bytes", s.kept)
	}
}

// text makes a line safe to keep and to show. Control sequences go first, since
// they could hide a secret from the redactor.
func (o *execOutput) text(raw []byte, cut int64) string {
	text := o.secrets.Text(plain.Line(string(start(raw))))
	if len(raw) <= maxExecLine && cut == 0 && len(text) <= 2*maxExecLine {
		return text
	}
	shown := strings.ToValidUTF8(text[:min(len(text), maxExecLine)], "")
	return fmt.Sprintf("%s … (%d bytes in all)", shown, int64(len(raw))+cut)
}

// start is as much of a line as is ever looked at.
func start(raw []byte) []byte { return raw[:min(len(raw), maxExecLine+execOverlap)] }

// end tells what was lost, and returns the result.
func (o *execOutput) end() any {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.streams {
		if s := &o.streams[i]; s.lost > 0 {
			o.run.Log().Warn("the program printed more than is kept", "stream", s.name, "lines_lost", s.lost, "bytes_in_all", s.bytes)
		}
	}
	if o.held == nil {
		return nil
	}
	// Masking leaves JSON valid, unless a secret was part of its grammar.
	if safe := o.secrets.Text(string(o.held)); json.Valid([]byte(safe)) {
		return json.RawMessage(safe)
	}
	o.release()
	return nil
}

// reason is what the program itself said about its failure.
func (o *execOutput) reason() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	raw := o.last
	if len(o.telling) > 0 {
		raw = o.telling
	}
	reason := strings.TrimSpace(o.text(raw, 0))
	const limit = 500
	if len(reason) > limit {
		reason = strings.ToValidUTF8(reason[:limit], "") + " …"
	}
	return reason
}

// tellingLine recognises an error's message: a Node program, for one, prints it
// in the middle of other things.
func tellingLine(raw []byte) bool {
	const longest = 80
	word, _, found := strings.Cut(strings.TrimPrefix(string(raw[:min(len(raw), longest)]), "Uncaught "), ":")
	switch {
	case !found || strings.ContainsAny(word, " \t/"):
		return false
	case strings.HasSuffix(word, "Error"), strings.HasSuffix(word, "Exception"):
		return true
	}
	switch strings.ToLower(word) {
	case "error", "fatal", "panic":
		return true
	}
	return false
}

func looksLikeResult(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 1 && (text[0] == '{' || text[0] == '[') && json.Valid(text)
}

// progress takes a line that reports progress, and tells whether it was one.
func (o *execOutput) progress(text []byte) bool {
	text = bytes.TrimSpace(text)
	const word = "progress"
	if len(text) < len(word) || len(text) > 256 || !bytes.EqualFold(text[:len(word)], []byte(word)) {
		return false
	}
	report, ok := parseProgress(string(text[len(word):]))
	if !ok {
		return false
	}
	p := o.run.Progress()
	p.SetTotal(report.total)
	p.Set(report.done)
	if report.message != "" {
		p.SetMessage(o.text([]byte(report.message), 0))
	}
	return true
}

type execProgress struct {
	done, total int64
	message     string
}

var progressReport = regexp.MustCompile(`^\s*[:=]?\s*(\d[\d_,]*)(?:\.\d+)?\s*(?:/\s*(\d[\d_,]*)|%)(?:\s+(.*))?$`)

// parseProgress reads what follows the word: "30/100", "30%", with a colon or
// an equals sign before and words behind.
func parseProgress(rest string) (execProgress, bool) {
	found := progressReport.FindStringSubmatch(rest)
	if found == nil {
		return execProgress{}, false
	}
	done, doneErr := parseCount(found[1])
	total, totalErr := int64(100), error(nil)
	if found[2] != "" {
		total, totalErr = parseCount(found[2])
	}
	if doneErr != nil || totalErr != nil {
		return execProgress{}, false
	}
	return execProgress{done, total, found[3]}, true
}

func parseCount(s string) (int64, error) {
	return strconv.ParseInt(strings.NewReplacer("_", "", ",", "").Replace(s), 10, 64)
}
