package occurrence

import (
	"testing"
	"time"
)

func TestPlanString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		def  Definition
		want string
	}{
		{Definition{Cron: "*/5 * * * *"}, "every 5 minutes, UTC"},
		{Definition{Cron: "* * * * *"}, "every minute, UTC"},
		{Definition{Cron: "@hourly"}, "every hour, UTC"},
		{Definition{Cron: "30 2 * * 1-5", Zone: "Europe/Berlin"}, "at 02:30 on weekdays, Europe/Berlin"},
		{Definition{Cron: "30 2,14 * * *"}, "at 02:30 and 14:30 every day, UTC"},
		{Definition{Cron: "15 3 * * sat,sun"}, "at 03:15 on weekends, UTC"},
		{Definition{Cron: "0 9 * * 0,1,3"}, "at 09:00 on Monday, Wednesday and Sunday, UTC"},
		{Definition{Cron: "0 0 1 * *"}, "at 00:00 on day 1 of the month, UTC"},
		{Definition{Cron: "0 0 1,15 1,7 *"}, "at 00:00 on days 1 and 15 of the month in January and July, UTC"},
		{Definition{Cron: "0 0 13 * 5"}, "at 00:00 on day 13 of the month or on Friday, UTC"},
		{Definition{Cron: "0 4 L * *"}, "at 04:00 on the last day of the month, UTC"},
		{Definition{Cron: "0 4 L-3 * *"}, "at 04:00 on 3 days before the last day of the month, UTC"},
		{Definition{Cron: "0 4 LW * *"}, "at 04:00 on the last weekday of the month, UTC"},
		{Definition{Cron: "0 4 15W * *"}, "at 04:00 on the weekday nearest to day 15 of the month, UTC"},
		{Definition{Cron: "0 4 * * fri#2"}, "at 04:00 on the second Friday of the month, UTC"},
		{Definition{Cron: "0 */6 * * *"}, "at 00:00, 06:00, 12:00 and 18:00 every day, UTC"},
		{Definition{Cron: "0 */2 * * *"}, "every 2 hours, UTC"},
		{Definition{Cron: "5 */2 * * *"}, "at minute 5 of every 2 hours, UTC"},
		{Definition{Cron: "5,35 * * * *"}, "at minutes 5 and 35 of every hour, UTC"},
		{Definition{Cron: "*/15 8-18 * * 1-5"}, "every 15 minutes from 08:00 to 18:45 on weekdays, UTC"},
		{Definition{Cron: "5 8-18 * * *"}, "at minute 5 of hours 8 to 18 every day, UTC"},
		{Definition{Cron: "* 1,5 * * *"}, "every minute in hours 1 and 5, UTC"},
		{Definition{Cron: "*/10 * * * * *", WithSeconds: true}, "every 10 seconds, UTC"},
		{Definition{Cron: "30 0 2 * * *", WithSeconds: true}, "at 02:00:30 every day, UTC"},
		{Definition{Cron: "0,30 */5 * * * *", WithSeconds: true}, "at seconds 0 and 30, every 5 minutes, UTC"},
		{Definition{Every: 90 * time.Minute}, "every 1 hour 30 minutes"},
		{Definition{Every: time.Hour, Zone: "Europe/Berlin", Start: instantOf(t, "2027-07-01T00:00:00Z")}, "every hour, from 2027-07-01 02:00"},
		{Definition{Every: 5 * time.Minute, Jitter: time.Minute}, "every 5 minutes, spread over 1 minute"},
		{Definition{Once: instantOf(t, "2027-07-01T00:00:00Z"), Zone: "Europe/Berlin"}, "once at 2027-07-01 02:00:00, Europe/Berlin"},
	} {
		if got := plan(t, c.def).String(); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.def, got, c.want)
		}
	}
}
