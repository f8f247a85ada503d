package occurrence

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// maxCron is longer than any expression that a person writes.
const maxCron = 256

// searchYears is how far the parser looks for the next date. The rarest that exist, a given weekday on 29 February,
// are up to 40 years apart.
const searchYears = 50

// calendar is a cron expression in a zone.
type calendar struct {
	text string // as the user wrote it
	spec *cron.SpecSchedule
	loc  *time.Location
	// onward: the expression names hours and follows the clock on the wall; otherwise it follows time passing.
	onward bool
}

// field is one field of an expression, and where it stands in the text.
type field struct {
	name        string
	least, most int
	names       string // three letters each
	form        *regexp.Regexp
	hint        string
	text        string
	column      int
}

var (
	plainForm = regexp.MustCompile(`^(\*|\w+(-\w+)?)(/\d+)?$`)
	dayForm   = regexp.MustCompile(`^((\*|\d+(-\d+)?)(/\d+)?|\?|l|l-\d+|lw|\d+w)$`)
	weekForm  = regexp.MustCompile(`^((\*|\w+(-\w+)?)(/\d+)?|\?|\w+#[1-5l])$`)
	spelled   = regexp.MustCompile(`[a-z]+|\d+`)
)

const (
	monthNames = "janfebmaraprmayjunjulaugsepoctnovdec"
	dayNames   = "sunmontuewedthufrisat"
)

// cronFields lists the fields, in order.
func cronFields() []field {
	return []field{
		{name: "second", most: 59, form: plainForm, hint: "0 to 59"},
		{name: "minute", most: 59, form: plainForm, hint: "0 to 59"},
		{name: "hour", most: 23, form: plainForm, hint: "0 to 23"},
		{name: "day of month", least: 1, most: 31, form: dayForm, hint: "1 to 31, L (the last), L-3, LW (the last weekday), 15W"},
		{name: "month", least: 1, most: 12, names: monthNames, form: plainForm, hint: "1 to 12, jan to dec"},
		{name: "day of week", most: 7, names: dayNames, form: weekForm, hint: "0 (Sunday) to 7 (Sunday again), sun to sat, fri#2 (the second), fri#L (the last)"},
	}
}

// atForms are the named expressions.
func atForms() map[string]string {
	return map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}
}

// parseCron notes every fault of the expression and returns nil if there is one.
func parseCron(ps *problems, def Definition, loc *time.Location) slots {
	def.Cron = strings.ReplaceAll(def.Cron, "\t", " ") // crontabs have them, and a caret below a tab points anywhere
	text := strings.ToLower(def.Cron)
	at := func(column, width int, what, fix string) {
		*ps = append(*ps, Problem{Field: "cron", Text: def.Cron, Column: column, Width: width, What: what, Fix: fix})
	}
	if fix, what := oddText(def.Cron); what != "" {
		ps.add("cron", what, fix)
		return nil
	}
	seconds := def.WithSeconds
	if name := strings.TrimSpace(text); strings.HasPrefix(name, "@") {
		expr, ok := atForms()[name]
		if !ok {
			at(strings.IndexByte(text, '@'), len(name), "there is no form "+name, atFix(name))
			return nil
		}
		text, seconds = expr, false
	}
	fields := split(text, seconds)
	if fields == nil {
		what, fix := wrongCount(len(strings.Fields(text)), seconds)
		at(0, len(def.Cron), what, fix)
		return nil
	}
	sound := true
	for i := range fields {
		for _, bad := range fields[i].check() {
			at(bad.column, max(len(bad.text), 1), bad.what, bad.fix)
			sound = false
		}
	}
	if !sound {
		return nil
	}
	spec, err := parseFields(fields)
	if err != nil {
		at(0, len(def.Cron), err.Error(), "correct the expression")
		return nil
	}
	return calendar{text: def.Cron, spec: spec, loc: loc, onward: !every(spec.Hour, 0, 23)}
}

// oddText refuses text that a caret could not point into.
func oddText(text string) (fix, what string) {
	if len(text) > maxCron {
		return "name fewer times, or use several schedules", fmt.Sprintf("the expression has %d characters, more than %d", len(text), maxCron)
	}
	for _, r := range text {
		if r < ' ' || r > '~' {
			return "use plain letters, digits and * , - / #", fmt.Sprintf("the expression contains the character %q", r)
		}
	}
	if strings.Contains(text, "TZ=") {
		return "give the zone beside the expression", "the time zone does not belong into the expression"
	}
	return "", ""
}

func atFix(name string) string {
	switch {
	case strings.HasPrefix(name, "@every"):
		return "use the interval of the schedule (every) instead"
	case name == "@reboot":
		return "a schedule belongs to no machine; run the script from the machine's own init"
	}
	known := []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
	if near := nearest(name, known...); near != "" {
		return "did you mean " + near + "?"
	}
	return "known forms are " + strings.Join(known, ", ")
}

func wrongCount(n int, seconds bool) (what, fix string) {
	switch {
	case n == 6 && !seconds:
		return "the expression has 6 fields instead of 5", "ask for seconds if the first field is meant as seconds"
	case n == 5 && seconds:
		return "the expression has 5 fields instead of 6", "put the seconds first, as in 0 30 2 * * *"
	case seconds:
		return fmt.Sprintf("the expression has %d fields instead of 6", n), "write second, minute, hour, day of month, month, day of week"
	default:
		return fmt.Sprintf("the expression has %d fields instead of 5", n), "write minute, hour, day of month, month, day of week"
	}
}

// split finds the six fields in the text; the seconds are 0 unless they are written. It returns nil when there are more or fewer.
func split(text string, seconds bool) []field {
	fields := cronFields()
	words := strings.Fields(text)
	rest := fields
	if !seconds {
		fields[0].text, rest = "0", fields[1:]
	}
	if len(words) != len(rest) {
		return nil
	}
	column := 0
	for i, word := range words {
		column += strings.Index(text[column:], word)
		rest[i].text, rest[i].column = word, column
		column += len(word)
	}
	return fields
}

// parseFields hands checked fields to the parser.
func parseFields(fields []field) (*cron.SpecSchedule, error) {
	parser, err := cron.TryNewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Extended)
	if err != nil {
		return nil, err
	}
	words := make([]string, len(fields))
	for i, f := range fields {
		words[i] = f.text
	}
	parsed, err := parser.WithMaxSearchYears(searchYears).Parse(strings.Join(words, " "))
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("the parser made a %T of it", parsed)
	}
	spec.Location = time.UTC // the digits of the clock on the wall; wall.go knows the zone
	// Either day is enough when both are restricted. The parser takes */2 for restricted, Vixie cron takes it for a star.
	spec.DowOrDom = !starred(fields[3].text) && !starred(fields[5].text)
	return spec, nil
}

func starred(text string) bool { return text[0] == '*' || text[0] == '?' }

// every says whether bits has all of least to most.
func every(bits uint64, least, most int) bool {
	for i := least; i <= most; i++ {
		if bits&(1<<i) == 0 {
			return false
		}
	}
	return true
}

func (c calendar) next(t time.Time) (time.Time, bool) {
	if c.onward {
		w := c.reading(onward(t, c.loc))
		if w.IsZero() {
			return time.Time{}, false
		}
		return reach(w, t, c.loc), true
	}
	for seg := segmentAt(t, c.loc); ; seg = segmentAt(seg.end, c.loc) {
		w := c.reading(seg.wall(t))
		if w.IsZero() {
			return time.Time{}, false
		}
		if at := w.Add(-seg.offset); seg.end.IsZero() || at.Before(seg.end) {
			return at.UTC(), true
		}
		t = seg.end.Add(-time.Second) // the next segment begins with its first second
	}
}

// reading is the first reading of the clock after w that the expression names. The parser's search tries every second, which
// is a waste where only whole minutes can fit.
func (c calendar) reading(w time.Time) time.Time {
	if c.spec.Second&(1<<60-1) == 1 {
		w = w.Truncate(time.Minute).Add(59 * time.Second)
	}
	return c.spec.Next(w)
}
