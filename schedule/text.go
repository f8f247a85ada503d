package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/rikki-go/rikki/params"
)

// Text is a schedule as people write it: in a file ([Load]) and on the command line. Times are read in the schedule's zone.
type Text struct {
	Cron        string        `placeholder:"EXPRESSION" help:"Five fields, '30 2 * * *', or a form such as @daily."`
	Seconds     bool          `help:"The expression has six fields, the seconds first."`
	Every       time.Duration `placeholder:"DURATION" help:"An interval, such as 5m, counted from --anchor, --start or midnight UTC."`
	Once        string        `placeholder:"TIME" help:"A single time (2026-12-24T18:00, +2h)."`
	Zone        string        `placeholder:"NAME" help:"IANA time zone, such as Europe/Berlin (default: UTC)."`
	Anchor      string        `placeholder:"TIME" help:"Where intervals are counted from."`
	Start       string        `placeholder:"TIME" help:"Nothing before this time."`
	End         string        `placeholder:"TIME" help:"Nothing at this time or after it."`
	Jitter      time.Duration `placeholder:"DURATION" help:"Start each run somewhere within this time."`
	MaxRuns     int           `placeholder:"N" help:"Complete the schedule after so many runs."`
	Overlap     string        `enum:"skip,queue,allow" default:"skip" help:"What to do while the run before hasn't ended."`
	CatchUp     string        `enum:"once,none,all" default:"once" help:"Which slots to run that nobody served in time."`
	Window      time.Duration `placeholder:"DURATION" help:"How late they may be (default: 1d; below 0: however late)."`
	Cap         int           `placeholder:"N" help:"How many of them run (default: 100)."`
	PauseAfter  int           `placeholder:"N" help:"Pause the schedule when so many runs in a row have failed."`
	Priority    int           `placeholder:"N" help:"Of the runs in the queue, the greatest is next (default: 0)."`
	Timeout     time.Duration `placeholder:"DURATION" help:"End a run after this time; -1 for never."`
	Description string        `placeholder:"TEXT" help:"One sentence for lists."`
}

// Schedule is what the text says, without name, script and parameters. What is relative counts from now. The error is an
// [*Error]; what else is wrong, [Scheduler.Save] finds.
func (x Text) Schedule(now time.Time) (Schedule, error) {
	s := Schedule{
		Cron: x.Cron, Seconds: x.Seconds, Every: x.Every, Zone: x.Zone, Jitter: x.Jitter, MaxRuns: x.MaxRuns,
		Overlap: Overlap(x.Overlap), CatchUp: CatchUp(x.CatchUp), Window: x.Window, Cap: x.Cap, PauseAfter: x.PauseAfter,
		Priority: x.Priority, Timeout: x.Timeout, Description: x.Description,
	}
	loc, err := time.LoadLocation(x.Zone)
	if err != nil || strings.EqualFold(x.Zone, "local") {
		loc = time.UTC // the zone is refused later, with the nearest one
	}
	var ps problems
	for _, t := range []struct {
		field, text string
		to          *time.Time
	}{{"once", x.Once, &s.Once}, {"anchor", x.Anchor, &s.Anchor}, {"start", x.Start, &s.Start}, {"end", x.End, &s.End}} {
		at, fix := ParseTime(t.text, loc, now)
		if *t.to = at; fix != nil {
			ps = append(ps, Problem{Field: t.field, Text: t.text, Width: len(t.text), What: fmt.Sprintf("%q is not a time", t.text), Fix: fix.Error()})
		}
	}
	return s, ps.err("")
}

// ParseTime reads a time as people write it: 2026-12-24, 2026-12-24T18:00 and 2026-12-24 18:00:00 in a zone, RFC 3339, now, and
// from now +2h and -7d. Nothing is the zero time. The error says what would be right.
func ParseTime(text string, loc *time.Location, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return time.Time{}, nil
	case text == "now":
		return now, nil
	case text[0] == '+' || text[0] == '-':
		var d struct{ D time.Duration }
		spec, err := params.Of(&d)
		if err != nil {
			return time.Time{}, err
		}
		layer, err := spec.FromMap(map[string]any{"d": text[1:]}, params.OriginAPI)
		if err = params.Join(err, spec.Fill(&d, layer)); err != nil {
			return time.Time{}, fmt.Errorf("write what is relative as +2h or -7d")
		}
		if text[0] == '-' {
			d.D = -d.D
		}
		return now.Add(d.D).Truncate(time.Second), nil
	}
	dated := ""
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		t, err := time.ParseInLocation(layout, text, loc)
		if err == nil {
			return t, nil
		}
		if strings.Contains(err.Error(), "out of range") {
			dated = "the calendar has no such date or time"
		}
	}
	if dated != "" {
		return time.Time{}, fmt.Errorf("%s", dated)
	}
	return time.Time{}, fmt.Errorf("write it as 2026-12-24, 2026-12-24T18:00 or 2026-12-24T18:00:00Z, or from now on as +2h")
}
