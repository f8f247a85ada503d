package term

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// Head is what stays the same while a bar is shown.
type Head struct {
	Script string
	Run    string
	Target string // database and cluster, such as "shop@rs0 (prod)"
	Link   string // address of the run's page
	Unit   string // what is counted; "docs" unless set
	Hint   string // the command that shows the errors, such as "rikki errors r_7Kq2"
	Keys   string // the keys that work, such as "[p]ause [c]ancel"; empty when none do
}

// Sample is one look at the work.
type Sample struct {
	Done  int64
	Total int64 // 0 means unknown: no percentage is shown
	// Estimated marks a total that may turn out otherwise; it is shown as ~1,000,000.
	Estimated bool
	Errors    int64
	// Rate is items per second. Zero means that the bar measures it.
	Rate float64
	// ETA is the expected rest. Zero means that the bar computes it. ETALow and ETAHigh are its bounds, when known.
	ETA, ETALow, ETAHigh time.Duration
	// Reached says where the work is when the total is unknown: "docs created 2025-03-11".
	Reached string
	// Detail is shown in the third line, its parts joined by dots: "chunk 843", "500 docs", "4 workers".
	Detail []string
}

// percent rounds down, so that 100 means done. An estimated total never claims that by itself.
func (s Sample) percent() float64 {
	switch {
	case s.Total <= 0:
		return 0
	case s.Done >= s.Total && s.Estimated:
		return 99.9
	case s.Done >= s.Total:
		return 100
	}
	return math.Floor(float64(max(0, s.Done))/float64(s.Total)*1000) / 10
}

func (s Sample) eta() (time.Duration, bool) {
	switch {
	case s.ETA > 0:
		return s.ETA, true
	case s.Total <= 0:
		return 0, false
	case s.Done >= s.Total:
		return 0, true
	case s.Rate <= 0:
		return 0, false
	}
	rest := float64(s.Total-s.Done) / s.Rate
	if rest > (1000 * time.Hour).Seconds() {
		return 0, false // a number like that helps nobody
	}
	return time.Duration(rest * float64(time.Second)), true
}

// frame is everything that one drawing of a bar depends on: same frame, same lines.
type frame struct {
	head    Head
	sample  Sample
	elapsed time.Duration
	final   bool
	set     bool // the script has reported anything at all
}

// ended returns the last frame: what was done is known now, and an estimate that was reached was right enough.
func (f frame) ended() frame {
	f.final = true
	if f.sample.Done >= f.sample.Total {
		f.sample.Estimated = false
	}
	return f
}

const barCells = 22

// lines draws the live block for a terminal of the given width: at most four lines, none wider than that.
func (f frame) lines(width int, color bool) []string {
	out := []string{f.title(width, color)}
	out = append(out, f.middle(width, color))
	if d := f.details(); d != "" {
		out = append(out, paint(color, dim, cut("  "+d, width)))
	}
	if f.head.Keys != "" && !f.final {
		out = append(out, paint(color, dim, cut("  "+f.head.Keys, width)))
	}
	return out
}

// compact draws one line, for several runs at once.
func (f frame) compact(width int, color bool) string {
	name := "  " + runewidth.FillRight(runewidth.Truncate(f.head.Script, 24, "…"), 24)
	line := cut(name+f.middle(max(0, width-runewidth.StringWidth(name)), false), width)
	if strings.HasPrefix(line, name) {
		return paint(color, bold, name) + line[len(name):]
	}
	return line
}

func (f frame) title(width int, color bool) string {
	parts := []string{f.head.Script}
	if f.head.Run != "" {
		parts = append(parts, "run "+f.head.Run)
	}
	if f.head.Target != "" {
		parts = append(parts, f.head.Target)
	}
	left := "  " + strings.Join(parts, "  ")
	if gap := width - runewidth.StringWidth(left) - runewidth.StringWidth(f.head.Link); f.head.Link != "" && gap >= 2 {
		left += strings.Repeat(" ", min(gap, max(2, 60-runewidth.StringWidth(left)))) + f.head.Link
	}
	left = cut(left, width)
	if name := "  " + f.head.Script; color && strings.HasPrefix(left, name) {
		return "  " + paint(true, bold, f.head.Script) + left[len(name):]
	}
	return left
}

// middle tries its forms from rich to poor and takes the first that fits.
func (f frame) middle(width int, color bool) string {
	if !f.set {
		return cut("  running   "+seconds(f.elapsed), width)
	}
	if f.sample.Total <= 0 {
		return f.unknown(width)
	}
	s := f.sample
	total := Count(s.Total)
	if s.Estimated {
		total = "~" + total
	}
	count := Count(s.Done) + " / " + total
	pct := percentText(s.percent()) + " %"
	speed := Rate(s.Rate) + " " + f.unit() + "/s"
	eta, span := f.rest()
	gauge := func(cells int) string { return "  " + bar(s.percent(), cells) }
	forms := []string{
		gauge(barCells) + "  " + pct + "   " + count + "   " + speed + "   " + eta + span,
		gauge(barCells) + "  " + pct + "   " + count + "   " + speed + "   " + eta,
		gauge(10) + "  " + pct + "   " + count + "   " + speed + "   " + eta,
		gauge(10) + "  " + pct + "   " + count + "   " + eta,
		"  " + pct + "   " + count + "   " + eta,
		"  " + pct + "   " + eta,
	}
	line := forms[len(forms)-1]
	for _, form := range forms {
		if runewidth.StringWidth(form) < width {
			line = form
			break
		}
	}
	line = cut(line, width)
	if i := strings.IndexByte(line, ']'); color && i > 2 && line[2] == '[' {
		return "  " + paint(true, green, line[2:i+1]) + line[i+1:]
	}
	return line
}

func (f frame) unknown(width int) string {
	s := f.sample
	line := "  " + Count(s.Done) + " " + f.unit() + "   " + Rate(s.Rate) + " " + f.unit() + "/s   elapsed " + seconds(f.elapsed)
	if s.Reached != "" && !f.final {
		if long := line + "   reached " + s.Reached; runewidth.StringWidth(long) < width {
			return long
		}
	}
	return cut(line, width)
}

func (f frame) rest() (eta, span string) {
	if f.final {
		return seconds(f.elapsed), ""
	}
	d, ok := f.sample.eta()
	if !ok {
		return "ETA --", ""
	}
	if f.sample.ETALow > 0 && f.sample.ETAHigh > f.sample.ETALow {
		span = " (" + seconds(f.sample.ETALow) + "-" + seconds(f.sample.ETAHigh) + ")"
	}
	return "ETA " + seconds(d), span
}

func (f frame) details() string {
	parts := f.sample.Detail
	if f.sample.Errors > 0 {
		errs := "errors " + Count(f.sample.Errors)
		if f.head.Hint != "" {
			errs += " (show: " + f.head.Hint + ")"
		}
		parts = append(slices.Clip(parts), errs)
	}
	return strings.Join(parts, " · ")
}

func (f frame) unit() string {
	if f.head.Unit == "" {
		return "docs"
	}
	return f.head.Unit
}

func percentText(p float64) string { return strconv.FormatFloat(p, 'f', 1, 64) }

// bar draws [=========>            ].
func bar(percent float64, cells int) string {
	full := min(cells, int(percent/100*float64(cells)))
	if full == cells {
		return "[" + strings.Repeat("=", cells) + "]"
	}
	return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", cells-full-1) + "]"
}

// cut shortens a line to the width; a line that is as wide as the terminal would wrap on some, hence one less.
func cut(s string, width int) string {
	if runewidth.StringWidth(s) < width {
		return s
	}
	return runewidth.Truncate(s, max(0, width-1), "…")
}
