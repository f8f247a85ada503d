package notify

import (
	"os"
	"testing"

	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestMain(m *testing.M) {
	if uri := os.Getenv("NOTIFY_WORKER"); uri != "" {
		worker(uri, os.Getenv("NOTIFY_DATABASE"), os.Getenv("NOTIFY_TARGET"))
	}
	os.Exit(mongotest.MainWithEnv(m, "notify"))
}
