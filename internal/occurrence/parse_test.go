package occurrence

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()

	t.Run("SaysWhatWhereAndHow", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			def  Definition
			want string
		}{
			{Definition{Cron: "0 25 * * *"}, "cron: the hour 25 is above 23\n  0 25 * * *\n    ^^\n  the hour is 0 to 23"},
			{Definition{Cron: "0 1,7,99 * * *"}, "cron: the hour 99 is above 23\n  0 1,7,99 * * *\n        ^^\n  the hour is 0 to 23"},
			{Definition{Cron: "0 0 0 * *"}, "cron: the day of month 0 is below 1\n  0 0 0 * *\n      ^\n  the day of month is 1 to 31, L (the last), L-3, LW (the last weekday), 15W"},
			{Definition{Cron: "0 0 * * frii"}, "cron: \"frii\" is not a day of week\n  0 0 * * frii\n          ^^^^\n  write fri"},
			{Definition{Cron: "0 0 * Fep *"}, "cron: \"fep\" is not a month\n  0 0 * Fep *\n        ^^^\n  did you mean feb?"},
			{Definition{Cron: "0 22-2 * * *"}, "cron: the range 22-2 runs backwards\n  0 22-2 * * *\n    ^^^^\n  write 22-23,0-2"},
			{Definition{Cron: "*/0 * * * *"}, "cron: the step 0 of the minute is not within 1 and 59, so it leads nowhere\n  */0 * * * *\n  ^^^\n  use a smaller step, or none"},
			{Definition{Cron: "1,,2 * * * *"}, "cron: the minute has an empty item\n  1,,2 * * * *\n    ^\n  drop the comma"},
			{Definition{Cron: "0 0 30 2 *"}, "cron: no date of the calendar fits, so it would never run\n  0 0 30 2 *\n  ^^^^^^^^^^\n  check the day against the month"},
			{Definition{Cron: "0 30 2 * * *"}, "cron: the expression has 6 fields instead of 5\n  0 30 2 * * *\n  ^^^^^^^^^^^^\n  ask for seconds if the first field is meant as seconds"},
			{Definition{Cron: "30 2 * * *", WithSeconds: true}, "cron: the expression has 5 fields instead of 6\n  30 2 * * *\n  ^^^^^^^^^^\n  put the seconds first, as in 0 30 2 * * *"},
			{Definition{Cron: "@dayly"}, "cron: there is no form @dayly\n  @dayly\n  ^^^^^^\n  did you mean @daily?"},
			{Definition{Cron: "@every 5m"}, "cron: there is no form @every 5m\n  @every 5m\n  ^^^^^^^^^\n  use the interval of the schedule (every) instead"},
			{Definition{Cron: "TZ=UTC 0 0 * * *"}, "cron: the time zone does not belong into the expression\n  give the zone beside the expression"},
			{Definition{Cron: "@daily", Zone: "europe/berlin"}, "zone: there is no time zone \"europe/berlin\"\n  did you mean Europe/Berlin?"},
			{Definition{Cron: "@daily", Zone: "Berlin"}, "zone: there is no time zone \"Berlin\"\n  did you mean Europe/Berlin?"},
			{Definition{Cron: "@daily", Zone: "Europe/Berln"}, "zone: there is no time zone \"Europe/Berln\"\n  did you mean Europe/Berlin?"},
			{Definition{Cron: "@daily", Zone: "Local"}, "zone: the local zone differs from machine to machine\n  name it, as in Europe/Berlin, or leave it out for UTC"},
			{Definition{}, "kind: the schedule says no time\n  set one of cron, every and once"},
			{Definition{Every: -time.Minute}, "every: -1m0s is negative; time only goes on\n  use an interval of 1s or more"},
			{Definition{Every: time.Millisecond}, "every: 1ms is shorter than a second\n  use 1s or more; for less, loop within the script"},
			{Definition{Every: time.Minute, Jitter: -1}, "jitter: -1ns is negative; a slot never starts early\n  use 0 or more"},
		} {
			_, err := Parse(c.def)
			if err == nil {
				t.Errorf("Parse(%+v) succeeded", c.def)
				continue
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("Parse(%+v) (-want +got):\n%s", c.def, diff)
			}
		}
	})

	t.Run("ReportsEveryProblemAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := Parse(Definition{
			Cron: "60 24 32 13 8", Every: -1, Zone: "Mars/Olympus", Jitter: -1,
			Start: instantOf(t, "2027-01-02T00:00:00Z"), End: instantOf(t, "2027-01-01T00:00:00Z"),
		})
		var all *Error
		if !errors.As(err, &all) {
			t.Fatalf("error is %v", err)
		}
		var fields []string
		for _, p := range all.Problems {
			fields = append(fields, p.Field)
		}
		if diff := cmp.Diff("zone end cron cron cron cron cron every kind jitter", strings.Join(fields, " ")); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("RefusesWhatNeverFires", func(t *testing.T) {
		t.Parallel()
		for _, def := range []Definition{
			{Cron: "0 0 31 4,6,9,11 *"},
			{Cron: "0 0 30,31 feb ?"},
			{Cron: "0 0 L-30 2 *"},
			{Cron: "0 0 31W feb *"},
			{Cron: "0 0 1 1 *", Start: instantOf(t, "2027-01-02T00:00:00Z"), End: instantOf(t, "2027-12-31T00:00:00Z")},
			{Every: 24 * time.Hour, Anchor: instantOf(t, "2027-01-01T00:00:00Z"), Start: instantOf(t, "2027-01-01T01:00:00Z"), End: instantOf(t, "2027-01-01T02:00:00Z")},
			{Once: instantOf(t, "2027-01-01T00:00:00Z"), End: instantOf(t, "2027-01-01T00:00:00Z")},
			{Once: instantOf(t, "2027-01-01T00:00:00Z"), Start: instantOf(t, "2027-01-01T00:00:01Z")},
			{Once: instantOf(t, "1969-01-01T00:00:00Z")},
		} {
			if p, err := Parse(def); err == nil {
				next, _ := p.Next(time.Time{})
				t.Errorf("Parse(%+v) succeeded; next is %v", def, next)
			}
		}
	})

	t.Run("AcceptsTheRarestDate", func(t *testing.T) {
		t.Parallel()
		p := plan(t, Definition{Cron: "0 0 * 2 sun#5"}) // 29 February on a Sunday
		got := zoned(p, p.Preview(3, instantOf(t, "2080-03-01T00:00:00Z")))
		want := []string{"2088-02-29 00:00:00 UTC", "2128-02-29 00:00:00 UTC", "2156-02-29 00:00:00 UTC"} // 2100 has none
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("AcceptsEverySpelling", func(t *testing.T) {
		t.Parallel()
		for _, pair := range [][2]string{
			{"@yearly", "0 0 1 1 *"},
			{"@annually", "0 0 1 1 *"},
			{"@MONTHLY", "0 0 1 * *"},
			{"@weekly", "0 0 * * 7"},
			{" @daily ", "0 0 * * *"},
			{"@midnight", "0 0 * * *"},
			{"@hourly", "0 * * * *"},
			{"0 9 * * MON-FRI", "0 9 * * 1-5"},
			{"0 9 * * thu", "0 9 * * 4"},
			{"0 9 * MARCH *", ""},
			{"0 9 * MAR,dec *", "0 9 * 3,12 *"},
			{"0 9 * * fri-sun", "0 9 * * 5,6,0"},
			{"0 9 * * 6-0", "0 9 * * 6,7"},
			{"0 9 * * sun-tue", "0 9 * * 0,1,2"},
			{"0\t9   1 * ?", "0 9 1 * *"},
			{"5/20 * * * *", "5,25,45 * * * *"},
		} {
			got, err := Parse(Definition{Cron: pair[0]})
			if pair[1] == "" {
				if err == nil {
					t.Errorf("%q parses", pair[0])
				}
				continue
			}
			if err != nil {
				t.Errorf("%q: %v", pair[0], err)
				continue
			}
			now := instantOf(t, "2026-05-05T05:05:05Z")
			want := plan(t, Definition{Cron: pair[1]})
			if diff := cmp.Diff(want.Preview(50, now), got.Preview(50, now)); diff != "" {
				t.Errorf("%q is not %q:\n%s", pair[0], pair[1], diff)
			}
		}
	})
}

func TestBadExpressionsAreRefusedOnTheirPlace(t *testing.T) {
	t.Parallel()
	for text := range strings.SplitSeq(`
* * * *
*
60 * * * *
-1 * * * *
+5 * * * *
1- * * * *
-5 * * * *
1--5 * * * *
5-1 * * * *
a * * * *
*-5 * * * *
*/ * * * *
*/x * * * *
*/-1 * * * *
*/60 * * * *
*/99999999999999999999 * * * *
99999999999999999999 * * * *
1/2/3 * * * *
1-2-3 * * * *
1;2 * * * *
, * * * *
1, * * * *
,1 * * * *
? * * * *
* ? * * *
* 24 * * *
* 1-24 * * *
* 1.5 * * *
* * 32 * *
* * 0 * *
* * 00 * *
* * L-0 * *
* * L-31 * *
* * L3 * *
* * LL * *
* * WL * *
* * 0W * *
* * 32W * *
* * W * *
* * 1-5W * *
* * ?,1 * *
* * * 0 *
* * * 13 *
* * * jann *
* * * january *
* * * L *
* * * * 8
* * * * -1
* * * * L
* * * * fri#6
* * * * fri#0
* * * * fri#
* * * * #2
* * * * 9#2
* * * * f#2
* * * * mon-xyz
* * * * mon/9
H * * * *
H/5 * * * *
@
@reboot
@every
@hourly 5
@daily @daily
% * * * *
~ * * * *
0 0 * * * 2027
0 0 ٣ * *
0 0 * * mo
0x5 * * * *
1_0 * * * *`[1:], "\n") {
		_, err := Parse(Definition{Cron: text})
		var all *Error
		if !errors.As(err, &all) {
			t.Errorf("Parse(%q) = %v", text, err)
			continue
		}
		for _, p := range all.Problems {
			if p.Field != "cron" || p.Fix == "" || p.Fix == "correct the expression" || p.Column+p.Width > len(p.Text) && p.Width > 1 {
				t.Errorf("Parse(%q): %#v", text, p)
			}
		}
	}
}

func TestPlanCheckRefusesThePast(t *testing.T) {
	t.Parallel()
	now := instantOf(t, "2027-01-01T00:00:00Z")
	for _, c := range []struct {
		def Definition
		ok  bool
	}{
		{Definition{Once: now.Add(time.Second)}, true},
		{Definition{Once: now}, false},
		{Definition{Once: now.Add(-time.Hour)}, false},
		{Definition{Every: time.Hour, End: now}, false},
		{Definition{Every: time.Hour, Start: now.AddDate(1, 0, 0)}, true},
		{Definition{Cron: "@daily", Start: now.AddDate(-1, 0, 0), End: now.AddDate(0, 0, -1)}, false},
	} {
		if err := plan(t, c.def).Check(now); errors.Is(err, ErrNoSlot) == c.ok || (err == nil) != c.ok {
			t.Errorf("%+v: Check = %v", c.def, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range append(expressionsForFuzz(), "@daily", "@every 5m", "TZ=UTC * * * * *", "0 0 30 2 *", "H * * * *", "0 0 L-3 * fri#2", "\x00") {
		f.Add(text, "Europe/Berlin", int64(1774746000), false)
	}
	f.Add("*/10 * * * * *", "Australia/Lord_Howe", int64(-5), true)
	f.Add("0 0 1 1 *", "../etc/passwd", int64(1<<60), false)
	f.Fuzz(func(t *testing.T, text, zone string, unix int64, seconds bool) {
		p, err := Parse(Definition{Cron: text, Zone: zone, WithSeconds: seconds})
		if err != nil {
			var all *Error
			if !errors.As(err, &all) || len(all.Problems) == 0 || err.Error() == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if p.String() == "" {
			t.Fatal("no text")
		}
		before := time.Unix(unix, 0)
		for range 8 {
			slot, ok := p.Next(before)
			if !ok {
				break
			}
			if !slot.After(before) || slot.Location() != time.UTC {
				t.Fatalf("%q in %q: %v after %v", text, zone, slot, before)
			}
			if last, found := p.Latest(slot); !found || !last.Equal(slot) {
				t.Fatalf("%q in %q: the latest at %v is %v", text, zone, slot, last)
			}
			before = slot
		}
	})
}

func expressionsForFuzz() []string {
	return []string{"*/15 * * * *", "30 2 * * *", "0 0 29 2 *", "0 9-17/2 1,15,L jan-jun mon-fri", "5 0 15W * *"}
}
