package backfill_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
)

// Contact is a document of the collection, as far as the backfill needs it.
type Contact struct {
	Name string `bson:"name"`
}

// SplitNames makes two fields of one.
type SplitNames struct {
	Separator string `default:" " help:"What stands between the names."`
}

// Backfill says what to walk.
func (*SplitNames) Backfill() backfill.Options {
	return backfill.Options{
		Collection: "contacts",
		Filter:     bson.D{{Key: "name", Value: bson.D{{Key: "$exists", Value: true}}}},
		Fields:     []string{"name", "first", "last"},
	}
}

// Change says what becomes of each document.
func (s *SplitNames) Change(_ context.Context, c Contact) (backfill.Change, error) {
	first, last, found := strings.Cut(c.Name, s.Separator)
	if !found {
		return backfill.None(), fmt.Errorf("%q has one part only", c.Name)
	}
	return backfill.Set("first", first).Set("last", last).Unset("name"), nil
}

// A backfill with a function. In a program it is given to cli.Main.
func Example() {
	ctx := context.Background()
	app := rikki.New(&rikki.Config{HistoryDatabase: "examples_backfill_runs"}).MustAdd(backfill.New[Contact](&SplitNames{}))
	defer app.Close(ctx)
	err := app.Conn().With(ctx, func(ctx context.Context, ref *conn.Ref) error {
		_, err := ref.DB().Collection("contacts").InsertMany(ctx, []any{Contact{"Ada Lovelace"}, Contact{"Grace Hopper"}, Contact{"Plato"}})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	result, err := app.Run(ctx, "split-names", nil)
	fmt.Println(err)
	fmt.Println(result.State, result.Counters["changed"], result.Counters["failed"])
	// Output:
	// 1 document could not be done
	// succeeded with errors 2 1
}
