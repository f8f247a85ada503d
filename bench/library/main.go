// Command library is one findOne as a script that another program runs.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/bench/findone"
)

func main() {
	ctx := context.Background()
	app := rikki.New(&rikki.Config{NoHistory: slices.Contains(os.Args, "--no-history")}).MustAdd(&findone.FindOne{})
	result, err := app.Run(ctx, "find-one", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := app.Close(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Value)
}
