//go:build !race

package occurrence

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The oracle knows nothing of the code under test: it reads the expression by itself, and looks at the zone's clock once a
// minute for ten years.

type oracle struct {
	text          string
	dom, mon, dow map[int]bool
	minutes       [60]bool
	hours         [24]bool
	either, named bool
	dense         bool // too many slots to follow all of them
	special       func(y int, m time.Month, d int) bool
	dayKey        int // the day that dayHit is about
	dayHit        bool

	plan     *Plan
	next     time.Time // what the plan says
	mismatch string
	slots    int
}

func newOracle(text string) *oracle {
	f := strings.Fields(text)
	o := &oracle{text: text, mon: oracleField(f[3], 1, 12), dow: map[int]bool{}, dayKey: -1}
	for m := range oracleField(f[0], 0, 59) {
		o.minutes[m] = true
	}
	hours := oracleField(f[1], 0, 23)
	for h := range hours {
		o.hours[h] = true
	}
	o.named = len(hours) < 24
	o.dense = len(hours)*len(oracleField(f[0], 0, 59)) >= 24
	o.either = f[2][0] != '*' && f[4][0] != '*'
	switch {
	case f[2] == "L":
		o.special = func(y int, m time.Month, d int) bool { return daysIn(y, m) == d }
	case strings.HasPrefix(f[2], "L-"):
		n, _ := strconv.Atoi(f[2][2:])
		o.special = func(y int, m time.Month, d int) bool { return daysIn(y, m)-n == d }
	case f[2] == "LW":
		o.special = func(y int, m time.Month, d int) bool { return d == lastWorkday(y, m) }
	case strings.HasSuffix(f[2], "W"):
		n, _ := strconv.Atoi(strings.TrimSuffix(f[2], "W"))
		o.special = func(y int, m time.Month, d int) bool { return d == workdayNear(y, m, n) }
	default:
		o.dom = oracleField(f[2], 1, 31)
	}
	if day, nth, ok := strings.Cut(f[4], "#"); ok {
		weekday, _ := strconv.Atoi(day)
		dom := o.dom
		o.either = false
		o.special = func(y int, m time.Month, d int) bool {
			if weekdayOf(y, m, d) != weekday%7 || !dom[d] {
				return false
			}
			if nth == "L" {
				return d+7 > daysIn(y, m)
			}
			n, _ := strconv.Atoi(nth)
			return (d+6)/7 == n
		}
	} else {
		for d := range oracleField(f[4], 0, 7) {
			o.dow[d%7] = true
		}
	}
	return o
}

func oracleField(text string, least, most int) map[int]bool {
	set := map[int]bool{}
	for part := range strings.SplitSeq(text, ",") {
		body, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			step, _ = strconv.Atoi(stepText)
		}
		from, to := least, most
		if body != "*" {
			low, high, ranged := strings.Cut(body, "-")
			from, _ = strconv.Atoi(low)
			switch {
			case ranged:
				to, _ = strconv.Atoi(high)
			case !stepped:
				to = from
			}
		}
		for v := from; v <= to; v += step {
			set[v] = true
		}
	}
	return set
}

func weekdayOf(y int, m time.Month, d int) int {
	return int(time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Weekday())
}

func daysIn(y int, m time.Month) int {
	for d := 28; ; d++ {
		if time.Date(y, m, d+1, 12, 0, 0, 0, time.UTC).Month() != m {
			return d
		}
	}
}

func workday(y int, m time.Month, d int) bool {
	w := weekdayOf(y, m, d)
	return d >= 1 && d <= daysIn(y, m) && w != 0 && w != 6
}

func lastWorkday(y int, m time.Month) int {
	d := daysIn(y, m)
	for !workday(y, m, d) {
		d--
	}
	return d
}

// workdayNear never leaves the month.
func workdayNear(y int, m time.Month, n int) int {
	if n > daysIn(y, m) {
		return 0
	}
	for _, d := range []int{n, n - 1, n + 1, n - 2, n + 2} {
		if workday(y, m, d) && (d != n-1 || weekdayOf(y, m, n) == 6) && (d != n+1 || weekdayOf(y, m, n) == 0) {
			return d
		}
	}
	return 0
}

// day says whether the expression's date fields match the wall clock w (in minutes since 1970).
func (o *oracle) day(w int) bool {
	if key := floorDiv(w, 24*60); key != o.dayKey {
		at := time.Unix(int64(w)*60, 0).UTC()
		y, m, d := at.Date()
		var date bool
		switch {
		case o.special != nil && o.dom == nil: // a special day of the month
			week := o.dow[int(at.Weekday())]
			if o.either {
				date = o.special(y, m, d) || week
			} else {
				date = o.special(y, m, d) && week
			}
		case o.special != nil:
			date = o.special(y, m, d)
		case o.either:
			date = o.dom[d] || o.dow[int(at.Weekday())]
		default:
			date = o.dom[d] && o.dow[int(at.Weekday())]
		}
		o.dayKey, o.dayHit = key, date && o.mon[int(m)]
	}
	return o.dayHit
}

func (o *oracle) matches(w int) bool {
	in := w - floorDiv(w, 24*60)*24*60
	return o.minutes[in%60] && o.hours[in/60] && o.day(w)
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// hit says whether there is a slot at the minute in which the clock shows wall and the clock that never goes back
// moves from before to now.
func (o *oracle) hit(wall, before, now int) bool {
	if !o.named {
		return o.matches(wall)
	}
	for w := before + 1; w <= now; w++ {
		if o.matches(w) {
			return true
		}
	}
	return false
}

// expressions are the fixed ones, with the places where crons differ, and random ones.
func expressions(r *rand.Rand, random int) []string {
	list := []string{
		"* * * * *", "*/15 * * * *", "0 * * * *", "30 * * * *", "30 2 * * *", "0 2 * * *", "0 3 * * *", "15 1 * * *",
		"59 1 * * *", "0 0 * * *", "45 23 * * *", "*/20 2 * * *", "*/15 1-3 * * *", "*/10 0-22 * * *", "7 */2 * * *",
		"0 0 29 2 *", "0 0 31 * *", "0 12 30 12 *", "30 2 * 3,10 0", "0 0 13 * 5", "0 0 */2 * 1", "0 0 1-7 * */7", "5 4 * * 5-7",
		"0 0 L * *", "30 2 L-3 * *", "0 6 LW * *", "0 6 15W * *", "0 6 1W * *", "0 6 31W * *", "0 0 * * 5#2", "0 0 * * 0#L", "30 1 * * 7#5",
		"* 2 * * *", "0 0,12 * * *", "17 3,4,5 * * *", "30 0 1 * *", "*/30 2 30 12 *", "0 0 L * 1",
	}
	for range random {
		list = append(list, fmt.Sprintf("%s %s %s %s %s", randomField(r, 0, 59, 1), randomField(r, 0, 23, 2),
			randomField(r, 1, 28, 4), randomField(r, 1, 12, 6), randomField(r, 0, 7, 4)))
	}
	return list
}

// randomField is a star in stars of 7 cases.
func randomField(r *rand.Rand, least, most, stars int) string {
	if r.IntN(7) < stars {
		return "*"
	}
	value := func() int { return least + r.IntN(most-least+1) }
	switch r.IntN(4) {
	case 0:
		return fmt.Sprint(value())
	case 1:
		a, b := value(), value()
		return fmt.Sprintf("%d-%d", min(a, b), max(a, b))
	case 2:
		return fmt.Sprintf("*/%d", 1+r.IntN(max(most/2, 1)))
	default:
		a, b := value(), value()
		return fmt.Sprintf("%d,%d-%d/%d", value(), min(a, b), max(a, b), 1+r.IntN(max(min(5, max(a, b)-min(a, b)), 1)))
	}
}

// Every slot of ten years, in zones that move their clocks by an hour, by half an hour, by a day, twice around Ramadan, at
// midnight, or not at all, against a look at the clock every minute. Expressions with 24 slots a day and more are
// followed on every twelfth day and on the five days around each move of the clocks.
func TestCronAgreesWithAMinuteByMinuteOracle(t *testing.T) {
	t.Parallel()
	for _, zone := range []struct {
		name string
		from int
	}{
		{"Europe/Berlin", 2020},
		{"America/New_York", 2020},
		{"Australia/Lord_Howe", 2020},
		{"Africa/Casablanca", 2020},
		{"America/Sao_Paulo", 2012}, // midnight itself is skipped, until 2019
		{"Pacific/Apia", 2006},      // 2011-12-30 is skipped
		{"Asia/Kathmandu", 2020},
		{"Europe/Berlin", 2036}, // the tables of most zones end in 2037
		{"Australia/Lord_Howe", 2036},
	} {
		t.Run(fmt.Sprint(strings.ReplaceAll(zone.name, "/", ""), zone.from), func(t *testing.T) {
			t.Parallel()
			years, random := 10, 20
			if testing.Short() {
				years, random = 2, 4
			}
			r := rand.New(rand.NewPCG(uint64(zone.from), uint64(len(zone.name))))
			from := time.Date(zone.from, 1, 1, 0, 0, 0, 0, time.UTC)
			compare(t, zone.name, from, from.AddDate(years, 0, 0), expressions(r, random))
		})
	}
}

func compare(t *testing.T, zone string, from, to time.Time, exprs []string) {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	var oracles []*oracle
	for _, text := range exprs {
		o := newOracle(text)
		o.plan = plan(t, Definition{Cron: text, Zone: zone})
		o.next, _ = o.plan.Next(from.Add(-1))
		oracles = append(oracles, o)
	}
	// Two days of history, for clocks that were set back just before.
	highest := 0
	for at := from.AddDate(0, 0, -2); at.Before(from); at = at.Add(time.Minute) {
		highest = max(highest, wallMinute(at, loc))
	}
	var active []*oracle // those that may have a slot in this hour of the clock
	hour, busy := -1, false
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		if at.Hour() == 0 && at.Minute() == 0 {
			if resumed := !busy; nearShift(at, loc) || at.YearDay()%12 == 0 {
				busy = true
				for _, o := range oracles {
					if o.dense && resumed {
						o.next, _ = o.plan.Next(at.Add(-1))
					}
				}
			} else {
				busy = false
			}
			hour = -1
		}
		wall, before := wallMinute(at, loc), highest
		highest = max(highest, wall)
		if wall != highest || highest != before+1 { // the clock was moved
			for _, o := range oracles {
				if !busy && o.dense {
					continue
				}
				if o.hit(wall, before, highest) {
					o.expect(at)
				}
				o.askFrom(at.Add(17 * time.Second))
			}
			hour = -1
			continue
		}
		if h := floorDiv(wall, 60); h != hour {
			hour, active = h, active[:0]
			for _, o := range oracles {
				if (busy || !o.dense) && o.mismatch == "" && o.hours[h-floorDiv(h, 24)*24] && o.day(wall) {
					active = append(active, o)
				}
			}
		}
		for _, o := range active {
			if o.minutes[wall-hour*60] {
				o.expect(at)
			}
		}
	}
	for _, o := range oracles {
		if o.next.Before(to) && !o.next.IsZero() && !o.dense {
			o.mismatch = fmt.Sprintf("has a slot too many at %s", o.next.In(loc))
		}
		if o.mismatch != "" {
			t.Errorf("%q in %s %s", o.text, zone, o.mismatch)
		}
	}
	total := 0
	for _, o := range oracles {
		total += o.slots
	}
	t.Logf("%d expressions, %d slots", len(oracles), total)
}

// expect says that there is a slot at this instant, and none between the last one and this.
func (o *oracle) expect(at time.Time) {
	if o.mismatch != "" {
		return
	}
	if !o.next.Equal(at) {
		o.mismatch = fmt.Sprintf("has its next slot at %s, not at %s", o.next.In(o.plan.loc), at.In(o.plan.loc))
		return
	}
	o.slots++
	o.next, _ = o.plan.Next(at)
}

// askFrom asks for the next slot from an instant within the repeated hour, in which no slot of a named hour is: schedulers
// ask from any time.
func (o *oracle) askFrom(at time.Time) {
	if got, _ := o.plan.Next(at); o.mismatch == "" && !got.Equal(o.next) {
		o.mismatch = fmt.Sprintf("has after %s a next slot at %s, not at %s", at.In(o.plan.loc), got.In(o.plan.loc), o.next.In(o.plan.loc))
	}
}

// nearShift says whether clocks are moved within two days of the day.
func nearShift(day time.Time, loc *time.Location) bool {
	_, before := day.AddDate(0, 0, -2).In(loc).Zone()
	_, after := day.AddDate(0, 0, 3).In(loc).Zone()
	return before != after
}

// wallMinute is what the clock shows, in minutes since 1970 of a calendar without zones.
func wallMinute(at time.Time, loc *time.Location) int {
	_, offset := at.In(loc).Zone()
	return int(at.Unix()+int64(offset)) / 60
}
