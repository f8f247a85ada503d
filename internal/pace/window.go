package pace

import (
	"fmt"
	"time"
)

// Window is a part of each day, by the clock on the wall of its zone. The zero value is the whole day. When clocks are put
// back, an hour that comes twice counts twice.
type Window struct {
	from, to int // minutes since midnight
	loc      *time.Location
}

// ParseWindow reads HH:MM-HH:MM, which may pass midnight. "" is the whole day. A nil location is UTC.
func ParseWindow(text string, loc *time.Location) (Window, error) {
	if text == "" {
		return Window{}, nil
	}
	if loc == nil {
		loc = time.UTC
	}
	var fromH, fromM, toH, toM int
	var rest string
	n, _ := fmt.Sscanf(text, "%2d:%2d-%2d:%2d%s", &fromH, &fromM, &toH, &toM, &rest)
	w := Window{from: fromH*60 + fromM, to: toH*60 + toM, loc: loc}
	sound := n == 4 && w.text() == text && min(fromH, fromM, toH, toM) >= 0 && fromM < 60 && toM < 60 && w.from < 24*60 && w.to <= 24*60
	if !sound {
		return Window{}, fmt.Errorf("window %q: use HH:MM-HH:MM, such as 22:00-05:00", text)
	}
	if w.from == w.to {
		return Window{}, fmt.Errorf("window %q is empty: leave it out to run all day", text)
	}
	return w, nil
}

func (w Window) text() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
}

// String is the window with its zone, "" for the whole day.
func (w Window) String() string {
	if w.loc == nil {
		return ""
	}
	return w.text() + " " + w.loc.String()
}

// Open says whether t is inside.
func (w Window) Open(t time.Time) bool {
	if w.loc == nil {
		return true
	}
	t = t.In(w.loc)
	minute := t.Hour()*60 + t.Minute()
	if w.from < w.to {
		return w.from <= minute && minute < w.to
	}
	return w.from <= minute || minute < w.to
}

// Opens is when the window opens next after t, or t if it is open.
func (w Window) Opens(t time.Time) time.Time {
	if w.Open(t) {
		return t
	}
	local := t.In(w.loc)
	for day := range 2 {
		opens := time.Date(local.Year(), local.Month(), local.Day()+day, w.from/60, w.from%60, 0, 0, w.loc)
		if opens.After(t) {
			return opens
		}
	}
	return t.Add(time.Minute) // clocks were just put forward over it
}
