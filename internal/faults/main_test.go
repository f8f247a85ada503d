//go:build linux

package faults_test

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"github.com/rikki-go/rikki/internal/faultrig"
)

// roundsEnv multiplies the rounds of every test.
const roundsEnv = "RIKKI_FAULTS"

// atOnce is how many tests run at a time, unless the command line says so. Most of the time they wait: for leases to run out, for
// elections, for a fault to have lasted.
const atOnce = "4"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	os.Exit(faultrig.Main(m, faultrig.Workers{
		"serve": serve,
		"naive": naiveQueue,
	}))
}

// rounds is how often a test does its thing.
func rounds(t testing.TB, n int) int {
	t.Helper()
	times := 1
	if given := os.Getenv(roundsEnv); given != "" {
		var err error
		if times, err = strconv.Atoi(given); err != nil || times < 1 {
			t.Fatalf("%s=%s: it must be a number of at least 1", roundsEnv, given)
		}
	}
	return n * times
}
