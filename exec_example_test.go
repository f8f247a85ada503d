//go:build unix

package rikki_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rikki-go/rikki"
)

// A program of the time before Rikki runs beside the scripts until it is
// migrated.
func ExampleExec() {
	old := rikki.Exec("old-report", "sh", "-c", `echo "progress 1/2"; echo '{"users": 2}'`)
	old.Timeout = time.Minute
	app := rikki.New(nil).MustAdd(old)
	defer func() { _ = app.Close(context.Background()) }()

	result, err := app.Run(context.Background(), "old-report", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s, %d of %d\n", result.State, result.Value, result.Progress.Done, result.Progress.Total)
	// Output: succeeded: {"users": 2}, 1 of 2
}
