package occurrence

import (
	"fmt"
	"strconv"
	"strings"
)

// fault is a place in a cron expression and what is wrong with it.
type fault struct {
	text      string
	column    int
	what, fix string
}

// check notes every faulty item of the field, and writes ranges that end on Sunday so that the parser accepts them.
func (f *field) check() []fault {
	var faults []fault
	column := f.column
	items := strings.Split(f.text, ",")
	for i, item := range items {
		if what, fix := f.checkItem(item); what != "" {
			faults = append(faults, fault{text: item, column: column, what: what, fix: fix})
		}
		if f.names == dayNames {
			items[i] = untilSunday(item)
		}
		column += len(item) + 1
	}
	if len(items) > 1 && strings.Contains(f.text, "?") {
		faults = append(faults, fault{text: f.text, column: f.column, what: "? stands alone", fix: "drop it, or drop the rest"})
	}
	f.text = strings.Join(items, ",")
	return faults
}

func (f *field) checkItem(item string) (what, fix string) {
	fix = fmt.Sprintf("the %s is %s", f.name, f.hint)
	switch {
	case item == "":
		return "the " + f.name + " has an empty item", "drop the comma"
	case !f.form.MatchString(item):
		return fmt.Sprintf("%q is not a %s", item, f.name), fix
	case f.names != dayNames && f.least == 1 && f.names == "" && strings.ContainsAny(item, "lw"):
		return f.checkSpecialDay(item), fix
	}
	item, _, _ = strings.Cut(item, "#")
	body, step, stepped := strings.Cut(item, "/")
	from, to, what := f.span(body, stepped)
	if what != "" {
		return what, f.mistyped(body, fix)
	}
	if from > to {
		low, high, _ := strings.Cut(body, "-")
		return fmt.Sprintf("the range %s runs backwards", body), fmt.Sprintf("write %s-%d,%d-%s", low, f.most, f.least, high)
	}
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > to-from && n > 1) {
		return fmt.Sprintf("the step %s of the %s is not within 1 and %d, so it leads nowhere", step, f.name, max(to-from, 1)), "use a smaller step, or none"
	}
	return "", ""
}

// span reads a star, a number or a range; a number with a step goes on to the most.
func (f *field) span(body string, stepped bool) (from, to int, what string) {
	if body == "*" || body == "?" {
		return f.least, f.most, ""
	}
	if f.names == dayNames {
		body = untilSunday(body)
	}
	low, high, ranged := strings.Cut(body, "-")
	if from, what = f.value(low); what != "" {
		return 0, 0, what
	}
	switch {
	case ranged:
		to, what = f.value(high)
		return from, to, what
	case stepped:
		return from, f.most, ""
	default:
		return from, from, ""
	}
}

// checkSpecialDay checks L-3 and 15W.
func (f *field) checkSpecialDay(item string) (what string) {
	digits := spelled.FindString(strings.Trim(item, "lw-"))
	if digits == "" {
		return ""
	}
	n, err := strconv.Atoi(digits)
	if strings.HasPrefix(item, "l-") && (err != nil || n < 1 || n > 30) {
		return fmt.Sprintf("%s days before the last is not within 1 and 30", digits)
	}
	if err != nil || n < 1 || n > 31 {
		return fmt.Sprintf("day %s is not within 1 and 31", digits)
	}
	return ""
}

// value reads a number or a name.
func (f *field) value(word string) (n int, what string) {
	if i := strings.Index(f.names, word); len(word) == 3 && i >= 0 && i%3 == 0 {
		return i/3 + f.least, ""
	}
	n, err := strconv.Atoi(word)
	switch {
	case err != nil:
		return 0, fmt.Sprintf("%q is not a %s", word, f.name)
	case n < f.least:
		return 0, fmt.Sprintf("the %s %s is below %d", f.name, word, f.least)
	case n > f.most:
		return 0, fmt.Sprintf("the %s %s is above %d", f.name, word, f.most)
	}
	return n, ""
}

// mistyped guesses the name that a word of body was meant to be.
func (f *field) mistyped(body, fix string) string {
	var names []string
	for i := 0; i < len(f.names); i += 3 {
		names = append(names, f.names[i:i+3])
	}
	for word := range strings.SplitSeq(body, "-") {
		if _, what := f.value(word); what == "" {
			continue
		}
		for _, name := range names {
			if strings.HasPrefix(word, name) {
				return "write " + name
			}
		}
		if near := nearest(word, names...); near != "" {
			return "did you mean " + near + "?"
		}
	}
	return fix
}

// untilSunday writes the Sunday that ends a range as 7, so that fri-sun is a range and not a step back.
func untilSunday(item string) string {
	body, step, stepped := strings.Cut(item, "/")
	low, high, ok := strings.Cut(body, "-")
	if !ok || (high != "sun" && high != "0") || low == "sun" || low == "0" {
		return item
	}
	if body = low + "-7"; stepped {
		body += "/" + step
	}
	return body
}
