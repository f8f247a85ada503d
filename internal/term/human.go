package term

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration writes a time span the way people read it: 840ms, 2.3s, 42s, 5m22s, 3m05s, 2h05m, 3d04h.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-max(d, -math.MaxInt64))
	}
	switch {
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + "µs"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Floor(d.Seconds()*10)/10, 'f', 1, 64) + "s"
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// seconds is [Duration] for progress lines, where a changing number of decimals would be noise.
func seconds(d time.Duration) string {
	d = d.Round(time.Second)
	if d < 10*time.Second {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return Duration(d)
}

// Count writes a number with thousands separators: 999,997.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// Rate writes items per second without the unit: 3,120, or 3.2 below ten.
func Rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || math.IsInf(perSecond, 0) || perSecond < 0:
		return "0"
	case perSecond > 0 && perSecond < 9.95:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return Count(int64(math.Round(min(perSecond, 1e15))))
}

// Bytes writes a size in decimal units: 512 B, 4.2 kB, 17 MB.
func Bytes(n int64) string {
	if n < 1000 && n > -1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		v /= 1000
		if math.Abs(v) < 999.5 {
			break
		}
	}
	if math.Abs(v) < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " " + unit
}

// Ago writes when something happened as seen from now: just now, 3 min ago, 2 h ago, in 5 min, and beyond a week the
// date. A zero time is a dash.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	format, comes := "%s ago", d < 0
	if comes {
		d, format = -d, "in %s"
	}
	in := func(unit time.Duration, name string) string {
		n := d / unit
		if comes { // rounded to the nearest, or what was set for two hours would be "in 1 h" at once
			n = (d + unit/2) / unit
		}
		return fmt.Sprintf(format, fmt.Sprintf("%d %s", n, name))
	}
	switch {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return in(time.Second, "s")
	case d < time.Hour:
		return in(time.Minute, "min")
	case d < 24*time.Hour:
		return in(time.Hour, "h")
	case d < 7*24*time.Hour:
		return in(24*time.Hour, "d")
	}
	return t.Format(time.DateOnly)
}

// Time writes an instant for people, in the location of the caller: 2026-11-23 10:00:10.
func Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.DateTime)
}
