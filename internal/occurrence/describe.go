package occurrence

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// maxTimes is how many times of day are worth spelling out.
const maxTimes = 6

// String describes the expression in words.
func (c calendar) String() string {
	text := c.timeText()
	days := c.dayText()
	if days == "" && strings.HasPrefix(text, "at ") && !strings.Contains(text, "every") {
		days = "every day"
	}
	for _, more := range []string{days, monthText(c.spec.Month)} {
		if more != "" {
			text += " " + more
		}
	}
	return text
}

// timeText describes seconds, minutes and hours.
func (c calendar) timeText() string {
	s := c.spec
	secs, mins, hours := values(s.Second, 0, 59), values(s.Minute, 0, 59), values(s.Hour, 0, 23)
	plain := len(secs) == 1 && secs[0] == 0
	if len(secs) == 1 && len(mins)*len(hours) <= maxTimes {
		var times []string
		for _, h := range hours {
			for _, m := range mins {
				at := fmt.Sprintf("%02d:%02d", h, m)
				if !plain {
					at += fmt.Sprintf(":%02d", secs[0])
				}
				times = append(times, at)
			}
		}
		return "at " + list(times)
	}
	text := minuteText(mins, hours)
	if plain {
		return text
	}
	if len(mins) == 60 {
		if n, ok := stride(secs, 60); ok {
			return strings.Replace(text, "every minute", "every "+span(time.Duration(n)*time.Second), 1)
		}
	}
	return "at " + plural("second", secs) + ", " + text
}

// minuteText describes minutes and hours that are too many to spell out.
func minuteText(mins, hours []int) string {
	var text string
	n, regular := stride(mins, 60)
	switch {
	case regular && n < 60:
		text = "every " + span(time.Duration(n)*time.Minute)
	case len(hours) == 24 && len(mins) == 1 && mins[0] == 0:
		return "every hour"
	case len(hours) == 24:
		return "at " + plural("minute", mins) + " of every hour"
	default:
		text = "at " + plural("minute", mins)
		if n, ok := stride(hours, 24); ok && n < 24 {
			if len(mins) == 1 && mins[0] == 0 {
				return fmt.Sprintf("every %d hours", n)
			}
			return fmt.Sprintf("%s of every %d hours", text, n)
		}
		if low, high := hours[0], hours[len(hours)-1]; len(hours) > 2 && high-low == len(hours)-1 {
			return fmt.Sprintf("%s of hours %d to %d", text, low, high)
		}
		return text + " of " + plural("hour", hours)
	}
	low, high := hours[0], hours[len(hours)-1]
	switch {
	case len(hours) == 24:
		return text
	case high-low == len(hours)-1:
		return fmt.Sprintf("%s from %02d:%02d to %02d:%02d", text, low, mins[0], high, mins[len(mins)-1])
	default:
		return text + " in " + plural("hour", hours)
	}
}

// dayText describes both day fields.
func (c calendar) dayText() string {
	s := c.spec
	dom, dow := monthDays(s), weekDays(s)
	switch {
	case dom == "" || dow == "":
		return strings.TrimSpace(dom + dow)
	case s.DowOrDom:
		return dom + " or " + dow
	default:
		return dow + " if " + dom
	}
}

func monthDays(s *cron.SpecSchedule) string {
	if every(s.Dom, 1, 31) {
		return ""
	}
	var parts []string
	if days := values(s.Dom, 1, 31); len(days) > 0 {
		parts = append(parts, plural("day", days)+" of the month")
	}
	for _, d := range s.DomConstraints {
		switch d.Type {
		case cron.DomLast:
			parts = append(parts, "the last day of the month")
		case cron.DomLastOffset:
			parts = append(parts, words(time.Duration(d.N)*24*time.Hour)+" before the last day of the month")
		case cron.DomLastWeekday:
			parts = append(parts, "the last weekday of the month")
		case cron.DomNearestWeekday:
			parts = append(parts, fmt.Sprintf("the weekday nearest to day %d of the month", d.N))
		}
	}
	return "on " + list(parts)
}

func weekDays(s *cron.SpecSchedule) string {
	if every(s.Dow, 0, 6) {
		return ""
	}
	var parts []string
	days := values(s.Dow, 0, 6)
	switch fmt.Sprint(days) {
	case "[]":
	case "[1 2 3 4 5]":
		parts = append(parts, "weekdays")
	case "[0 6]":
		parts = append(parts, "weekends")
	default:
		if days[0] == 0 { // a week ends on Sunday
			days = append(days[1:], 0)
		}
		for _, d := range days {
			parts = append(parts, time.Weekday(d).String())
		}
	}
	ordinals := map[int]string{-1: "last", 1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
	for _, d := range s.DowConstraints {
		parts = append(parts, fmt.Sprintf("the %s %s of the month", ordinals[d.N], time.Weekday(d.Weekday)))
	}
	return "on " + list(parts)
}

func monthText(bits uint64) string {
	if every(bits, 1, 12) {
		return ""
	}
	var names []string
	for _, m := range values(bits, 1, 12) {
		names = append(names, time.Month(m).String())
	}
	return "in " + list(names)
}

// values lists the bits that are set.
func values(bits uint64, least, most int) []int {
	var list []int
	for i := least; i <= most; i++ {
		if bits&(1<<i) != 0 {
			list = append(list, i)
		}
	}
	return list
}

// stride is n for 0, n, 2n … up to a whole, if n divides it.
func stride(values []int, whole int) (int, bool) {
	if len(values) == 0 || whole%len(values) != 0 {
		return 0, false
	}
	n := whole / len(values)
	for i, v := range values {
		if v != i*n {
			return 0, false
		}
	}
	return n, true
}

// plural writes "minute 5" and "minutes 5, 10 and 20".
func plural(noun string, numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	if len(words) == 1 {
		return noun + " " + words[0]
	}
	return noun + "s " + list(words)
}

// list joins with commas and a last "and".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
