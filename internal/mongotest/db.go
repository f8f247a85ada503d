package mongotest

import (
	"context"
	"crypto/rand"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// DB returns an empty database for this test alone, dropped at the end.
func DB(t testing.TB) *mongo.Database {
	t.Helper()
	db := Client(t).Database(Name(t))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := db.Drop(ctx); err != nil {
			t.Error("drop the test's database:", err)
		}
	})
	return db
}

var unfit = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// Name returns a database name that no other test has: readable, and below
// the server's limit of 63 bytes.
func Name(t testing.TB) string {
	t.Helper()
	name := unfit.ReplaceAllString(t.Name(), "_")
	return "t_" + name[:min(len(name), 40)] + "_" + strings.ToLower(rand.Text()[:10])
}
