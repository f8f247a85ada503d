package main

import (
	"context"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/backfill"
)

// Priced is an item of an order with what the catalogue says of it.
type Priced struct {
	Product struct {
		Price int64 `bson:"price"`
	} `bson:"product"`
}

// FillFromCatalogue copies a value from another collection. The lookup is done for each chunk, in its transaction.
type FillFromCatalogue struct{}

// Backfill says what to walk.
func (*FillFromCatalogue) Backfill() backfill.Options {
	return backfill.Options{
		Script:     about("Copies a value from another collection."),
		Collection: "items", Filter: bson.D{{Key: "price", Value: bson.D{{Key: "$exists", Value: false}}}}, Fields: []string{"price"},
		Stages: []bson.D{
			{{Key: "$lookup", Value: bson.D{
				{Key: "from", Value: "products"}, {Key: "localField", Value: "sku"}, {Key: "foreignField", Value: "_id"}, {Key: "as", Value: "product"},
			}}},
			{{Key: "$set", Value: bson.D{{Key: "product", Value: bson.D{{Key: "$first", Value: "$product"}}}}}},
		},
	}
}

// Change says what becomes of each document.
func (*FillFromCatalogue) Change(_ context.Context, p Priced) (backfill.Change, error) {
	if p.Product.Price == 0 {
		return backfill.None(), fmt.Errorf("the catalogue has no price")
	}
	return backfill.Set("price", p.Product.Price), nil
}

// Order has its lines within.
type Order struct {
	ID    int64 `bson:"_id"`
	Lines []struct {
		SKU string `bson:"sku"`
		N   int    `bson:"n"`
	} `bson:"lines"`
}

// SplitOrderLines moves the lines of orders into a collection of their own. All of an order happens in one transaction.
type SplitOrderLines struct{}

// Backfill says what to walk.
func (*SplitOrderLines) Backfill() backfill.Options {
	return backfill.Options{Script: about("Moves the lines of orders into a collection of their own."), Collection: "orders", Filter: bson.D{{Key: "lines", Value: bson.D{{Key: "$exists", Value: true}}}}}
}

// Change says what becomes of each document.
func (*SplitOrderLines) Change(_ context.Context, o Order) (backfill.Change, error) {
	change := backfill.Unset("lines").Set("lineCount", len(o.Lines))
	for i, line := range o.Lines {
		id := fmt.Sprintf("%d/%d", o.ID, i)
		change = change.Also("order_lines", id, bson.D{{Key: "order", Value: o.ID}, {Key: "sku", Value: line.SKU}, {Key: "n", Value: line.N}})
	}
	return change, nil
}

// Row is one of a file with a header: sku,price.
type Row struct {
	SKU   string `bson:"sku"`
	Price string `bson:"price"`
}

// ImportPrices puts the rows of a file into a collection. Bad rows are listed with their lines; the rest goes on.
type ImportPrices struct {
	File string `required:"true" help:"A CSV file with the columns sku and price; - is standard input."`
}

// Backfill says what to walk.
func (i *ImportPrices) Backfill() backfill.Options {
	return backfill.Options{Script: about("Puts the rows of a file into a collection."), Collection: "prices", Source: backfill.CSV(i.File), MaxFailures: 100}
}

// Change says what becomes of each row.
func (*ImportPrices) Change(_ context.Context, r Row) (backfill.Change, error) {
	price, err := strconv.ParseInt(r.Price, 10, 64)
	if err != nil {
		return backfill.None(), fmt.Errorf("price %q is no whole number", r.Price)
	}
	return backfill.Upsert(bson.D{{Key: "price", Value: price}}).For(r.SKU), nil
}

// Place has an address and shall have a position.
type Place struct {
	Address string `bson:"address"`
}

// GeocodePlaces asks a service about many addresses at once. The service may be asked again for the same chunk, so that must do no harm.
type GeocodePlaces struct{}

// Backfill says what to walk.
func (*GeocodePlaces) Backfill() backfill.Options {
	return backfill.Options{Script: about("Asks a service about many addresses at once."), Collection: "places", Filter: bson.D{{Key: "position", Value: bson.D{{Key: "$exists", Value: false}}}}, Chunk: 50, Rate: 500}
}

// ChangeAll says what becomes of a chunk.
func (*GeocodePlaces) ChangeAll(_ context.Context, places []Place) ([]backfill.Change, error) {
	changes := make([]backfill.Change, len(places))
	for i, p := range places {
		changes[i] = backfill.Set("position", bson.A{float64(len(p.Address)), 0.5}) // the service's answer
	}
	return changes, nil
}
