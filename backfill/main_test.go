package backfill_test

import (
	"os"
	"testing"

	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.MainWithEnv(m, "examples_backfill")) }
