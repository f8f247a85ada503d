// Command cookbook is a dozen backfills that one needs sooner or later, each whole and tested, and a MongoDB with sample data that
// it fetches and starts by itself.
//
//	go run ./examples/cookbook list
//	go run ./examples/cookbook run rename-field --dry-run
//	go run ./examples/cookbook run rename-field
//	go run ./examples/cookbook runs undo last
//
// Set MONGODB_URI, and the same scripts run on a MongoDB of yours.
package main

import (
	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/cli"
)

func main() {
	cli.App{
		Name:        "cookbook",
		Description: "cookbook has backfills to copy from.",
		Embedded:    true,
		Seed:        seed,
		Scripts:     scripts(),
	}.Main()
}

func scripts() []rikki.Script {
	return []rikki.Script{
		backfill.NewPipeline(&RenameField{}), backfill.New[Named](&SplitName{}), backfill.NewPipeline(&AddDefault{}),
		backfill.NewPipeline(&TextToDate{}), backfill.New[Ticket](&FixEnum{}), backfill.New[Priced](&FillFromCatalogue{}),
		backfill.New[Customer](&EncryptPhone{}), backfill.New[Session](&PurgeSessions{}), backfill.New[Order](&SplitOrderLines{}),
		backfill.New[Contact](&DropDuplicates{}), backfill.New[Row](&ImportPrices{}), backfill.NewBatch[Place](&GeocodePlaces{}),
	}
}

// about describes a script in lists.
func about(text string) rikki.Options { return rikki.Options{Description: text} }
