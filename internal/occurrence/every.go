package occurrence

import (
	"fmt"
	"strings"
	"time"
)

// interval is anchor + n·every for all whole n, in milliseconds since 1970.
type interval struct{ anchor, every int64 }

func parseEvery(ps *problems, def Definition) slots {
	switch every := def.Every; {
	case every < 0:
		ps.add("every", fmt.Sprintf("%v is negative; time only goes on", every), "use an interval of 1s or more")
	case every < time.Second:
		ps.add("every", fmt.Sprintf("%v is shorter than a second", every), "use 1s or more; for less, loop within the script")
	case every%time.Millisecond != 0:
		ps.add("every", fmt.Sprintf("%v is not in whole milliseconds, which is all that MongoDB keeps", every), "round it")
	}
	anchor := def.Anchor
	if anchor.IsZero() {
		anchor = def.Start
	}
	if anchor.IsZero() {
		anchor = firstInstant
	}
	return interval{anchor: anchor.UnixMilli(), every: def.Every.Milliseconds()}
}

func (iv interval) next(t time.Time) (time.Time, bool) {
	// UnixMilli rounds down, and slots are whole milliseconds: none is lost, and none is found twice.
	passed := t.UnixMilli() - iv.anchor
	n := passed / iv.every
	if passed%iv.every < 0 {
		n--
	}
	return time.UnixMilli(iv.anchor + (n+1)*iv.every).UTC(), true
}

func (iv interval) String() string {
	return "every " + span(time.Duration(iv.every)*time.Millisecond)
}

// span writes a duration so that it follows "every": "5 minutes", "hour", "1 hour 30 minutes".
func span(d time.Duration) string {
	text := words(d)
	if one, ok := strings.CutPrefix(text, "1 "); ok && !strings.Contains(one, " ") {
		return one
	}
	return text
}

// words writes a duration in words.
func words(d time.Duration) string {
	var parts []string
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}, {"millisecond", time.Millisecond}} {
		n := d / u.size
		d %= u.size
		switch {
		case n == 1:
			parts = append(parts, "1 "+u.name)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, u.name))
		}
	}
	return strings.Join(parts, " ")
}
