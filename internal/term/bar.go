package term

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	redraw     = 100 * time.Millisecond // a live block changes at most ten times a second
	plainEvery = 10 * time.Second       // a line elsewhere: this often,
	plainStep  = 5.0                    // or after so many per cent,
	plainPause = 2 * time.Second        // but not more often than this
)

// Bar shows the progress of one run. A nil Bar shows nothing. Set may be called from any goroutine, as often as the
// script likes; Done must be called once the run has ended.
type Bar struct {
	t     *Term
	head  Head
	start time.Time

	mu      sync.Mutex
	sample  Sample
	meter   meter
	set     bool
	final   bool
	printed float64 // the percentage of the last plain line
	last    time.Time

	end  chan struct{}  // ends the ticker of plain lines
	wait sync.WaitGroup // for that ticker

	board *board
	row   *mpb.Bar
	below []string // the lines after the first, drawn together with it; only the drawing goroutine uses it
}

// board is the live block: what several bars of one terminal share.
type board struct {
	t        *Term
	progress *mpb.Progress
	bars     atomic.Int32
	tail     []byte
}

// Progress starts showing a run.
func (t *Term) Progress(head Head) *Bar {
	b := &Bar{t: t, head: t.safeHead(head), start: t.opts.Now()}
	b.last = b.start
	b.last = b.start
	b.meter.update(b.start, 0)
	switch {
	case t.opts.Quiet || t.opts.JSON:
		return nil
	case t.live:
		b.open()
	default:
		b.end = make(chan struct{})
		b.wait.Go(b.tick)
	}
	return b
}

func (t *Term) safeHead(h Head) Head {
	return Head{
		Script: t.data(h.Script), Run: t.data(h.Run), Target: t.data(h.Target), Link: t.data(h.Link),
		Unit: t.data(h.Unit), Hint: t.data(h.Hint), Keys: t.data(h.Keys),
	}
}

func (b *Bar) open() {
	t := b.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.board == nil {
		opts := []mpb.ContainerOption{
			mpb.WithOutput(t.std.Err), mpb.WithAutoRefresh(), mpb.WithRefreshRate(redraw), mpb.WithDebugOutput(io.Discard),
		}
		if t.tty.Width > 0 {
			opts = append(opts, mpb.WithWidth(t.tty.Width))
		}
		t.board = &board{t: t, progress: mpb.New(opts...)}
	}
	b.board = t.board
	b.board.bars.Add(1)
	// A refused row means that the terminal is gone: the run goes on without its bar.
	row, err := b.board.progress.Add(0, mpb.BarFillerFunc(b.drawFirst), mpb.BarFillerTrim(),
		mpb.BarExtender(mpb.BarFillerFunc(b.drawRest), false))
	if err == nil {
		b.row = row
	}
}

// Set reports how far the work is.
func (b *Bar) Set(s Sample) {
	if b == nil {
		return
	}
	s.Reached = b.t.data(s.Reached)
	detail := make([]string, len(s.Detail))
	for i, d := range s.Detail {
		detail[i] = b.t.data(d)
	}
	s.Detail = detail
	now := b.t.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meter.update(now, s.Done)
	b.sample, b.set = s, true
	if b.end != nil && s.Total > 0 && s.percent() >= b.printed+plainStep && now.Sub(b.last) >= plainPause {
		b.print(now)
	}
}

// Done draws the last state, prints the last line, and waits until the terminal is free for what follows.
func (b *Bar) Done() {
	if b == nil {
		return
	}
	b.mu.Lock()
	ended := b.final
	b.final = true
	set := b.set
	b.mu.Unlock()
	if ended {
		return
	}
	if b.end != nil {
		close(b.end)
		b.wait.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.set && b.printed < 100 { // the line for 100 % was the last one
			b.print(b.t.opts.Now())
		}
		return
	}
	if b.row != nil {
		// A run that reported nothing, or one of several, leaves no block behind: its result line says it all.
		b.row.Abort(!set || b.board.bars.Load() > 1)
		b.row.Wait()
	}
	b.board.leave()
}

// leave ends the block with its last bar.
func (b *board) leave() {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if b.bars.Add(-1) == 0 {
		b.shut()
	}
}

func (b *board) close() {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.shut()
}

// shut needs the term's lock: nothing may be written between the last drawing and the end of the block.
func (b *board) shut() {
	if b.t.board != b {
		return
	}
	b.progress.Shutdown()
	b.t.board = nil
	if len(b.tail) > 0 {
		// Nothing useful can be done when stderr is gone.
		_, _ = b.t.std.Err.Write(b.tail)
	}
}

// tick prints a line every ten seconds, also while the script is silent: a log that stands still looks like a hang.
func (b *Bar) tick() {
	ticker := time.NewTicker(plainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-b.end:
			return
		case <-ticker.C:
		}
		now := b.t.opts.Now()
		b.mu.Lock()
		if b.set && now.Sub(b.last) >= plainEvery/2 {
			b.print(now)
		}
		b.mu.Unlock()
	}
}

// print needs the lock.
func (b *Bar) print(now time.Time) {
	f := b.snapshot(now)
	b.printed, b.last = f.sample.percent(), now
	line := f.plain(now)
	if b.t.opts.LogFormat == LogJSON {
		line = f.record(now)
	}
	b.t.line(line)
}

// snapshot needs the lock.
func (b *Bar) snapshot(now time.Time) frame {
	f := frame{head: b.head, sample: b.sample, elapsed: now.Sub(b.start), set: b.set}
	if b.final {
		f = f.ended()
	}
	switch {
	case f.sample.Rate != 0:
	case f.final && f.elapsed > 0:
		f.sample.Rate = float64(f.sample.Done) / f.elapsed.Seconds() // the average is what counts in the end
	default:
		f.sample.Rate = b.meter.rate(now)
	}
	return f
}

func (b *Bar) drawFirst(w io.Writer, stat decor.Statistics) error {
	b.mu.Lock()
	f := b.snapshot(b.t.opts.Now())
	b.mu.Unlock()
	lines := []string{""}
	if b.board.bars.Load() > 1 {
		lines[0] = f.compact(stat.AvailableWidth, b.t.errColor)
	} else {
		lines = f.lines(stat.AvailableWidth, b.t.errColor)
	}
	b.below = lines[1:]
	_, err := io.WriteString(w, lines[0])
	return err
}

func (b *Bar) drawRest(w io.Writer, _ decor.Statistics) error {
	if len(b.below) == 0 {
		return nil
	}
	var buf bytes.Buffer
	buf.WriteString(strings.Join(b.below, "\n"))
	buf.WriteByte('\n')
	_, err := buf.WriteTo(w)
	return err
}
