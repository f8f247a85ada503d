package schedule_test

import (
	"fmt"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/schedule"
)

func ExampleScheduler_Preview() {
	app := rikki.New(nil).MustAdd(&Report{})
	scheduler := schedule.New(app, nil)
	nightly := schedule.Schedule{Name: "nightly", Script: "report", Cron: "30 2 * * *", Zone: "Europe/Berlin"}

	slots, warnings, err := scheduler.Preview(nightly, 2, time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, slot := range slots {
		fmt.Println(slot)
	}
	for _, warning := range warnings {
		fmt.Println(warning)
	}
	// Output:
	// 2026-03-28 02:30:00 +0100 CET
	// 2026-03-29 03:00:00 +0200 CEST
	// 02:30 does not exist on 2026-03-29: clocks in Europe/Berlin go from 02:00 to 03:00; it runs once, at 03:00 CEST
	// 02:30 comes twice on 2026-10-25: clocks in Europe/Berlin go back from 03:00 to 02:00; it runs once, the first time, at 02:30 CEST
}

func ExampleError() {
	app := rikki.New(nil).MustAdd(&Report{})
	_, _, err := schedule.New(app, nil).Preview(schedule.Schedule{Script: "report", Cron: "0 25 * * *", Zone: "Berlin"}, 5, time.Now())
	fmt.Println(err)
	// Output:
	// schedule report: zone: there is no time zone "Berlin"
	//   did you mean Europe/Berlin?
	// schedule report: cron: the hour 25 is above 23
	//   0 25 * * *
	//     ^^
	//   the hour is 0 to 23
}
