package cli_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/cli"
)

// shop is a program with a backfill.
func shop() {
	cli.App{
		Name: "shop",
		Scripts: []rikki.Script{
			&Plant{}, &Touch{}, backfill.New[Customer](&Lower{}),
		},
		Config: rikki.Config{HistoryDatabase: os.Getenv("DEMO_HISTORY"), Actor: "tester"},
	}.Main()
}

// Plant makes customers.
type Plant struct {
	N int `default:"30"`
}

func (p *Plant) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	docs := make([]any, p.N)
	for i := range docs {
		docs[i] = Customer{ID: i, Email: "Ann@Example.COM"}
	}
	_, err := run.DB().Collection("customers").InsertMany(ctx, docs)
	return nil, err
}

// Touch changes one customer's address, as other programs do.
type Touch struct {
	ID    int    `params:"id"`
	Email string `default:"other@example.com"`
}

func (s *Touch) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	res, err := run.DB().Collection("customers").UpdateByID(ctx, s.ID, bson.D{{Key: "$set", Value: bson.D{{Key: "email", Value: s.Email}}}})
	if err != nil {
		return nil, err
	}
	return res.ModifiedCount, nil
}

// Customer is a document of the shop.
type Customer struct {
	ID    int    `bson:"_id"`
	Email string `bson:"email"`
}

// Lower writes addresses in lower case. It can be told to fail, and to wait.
type Lower struct {
	FailAt  int    `help:"Fail for every so many customers."`
	PanicAt int    `help:"Panic for every so many customers."`
	Begun   string `help:"File to create when it has begun."`
	Until   string `help:"File to wait for."`
	WaitAt  int    `help:"The first customer to wait with."`
}

func (*Lower) Backfill() backfill.Options {
	return backfill.Options{Collection: "customers", Chunk: 5, Workers: 1, MaxFailures: 100}
}

func (l *Lower) Change(ctx context.Context, c Customer) (backfill.Change, error) {
	if os.Getenv("SHOP_REPAIRED") == "" && l.FailAt > 0 && c.ID%l.FailAt == 0 {
		return backfill.None(), errors.New("the address of customer " + c.Email + " is no address")
	}
	if l.PanicAt > 0 && c.ID%l.PanicAt == 0 {
		panic("out of postcards")
	}
	if c.ID >= l.WaitAt {
		if err := touch(l.Begun); err != nil {
			return backfill.None(), err
		}
		if err := untilThere(ctx, l.Until); err != nil {
			return backfill.None(), err
		}
	}
	return backfill.Set("email", strings.ToLower(c.Email)), nil
}

func untilThere(ctx context.Context, path string) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for path != "" {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
