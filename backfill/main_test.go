package backfill_test

import (
	"flag"
	"os"
	"testing"

	"github.com/rikki-go/rikki/internal/mongotest"
)

// atOnce is how many parallel tests run at a time, unless the command line says so. The longest of them wait: for servers that end
// transactions, and for what is tried again.
const atOnce = "4"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	os.Exit(mongotest.MainWithEnv(m, "examples_backfill"))
}
