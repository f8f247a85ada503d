//go:build linux

package faultrig_test

import (
	"context"
	"os"
	"testing"

	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/point"
)

func TestMain(m *testing.M) {
	os.Exit(faultrig.Main(m, faultrig.Workers{"counter": counter, "leaky": leaky}))
}

// counter reaches two points over and over, until it is told to end.
func counter(ctx context.Context, w *faultrig.Worker) error {
	var upTo int
	if err := w.Args(&upTo); err != nil {
		return err
	}
	w.Say("ready", os.Getpid())
	for i := range upTo {
		point.Reached("count.before")
		w.Say("count", i)
		point.Reached("count.after")
	}
	if upTo == 0 {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return nil
}

// leaky leaves what it is told to: a goroutine or a file.
func leaky(_ context.Context, w *faultrig.Worker) error {
	var what string
	if err := w.Args(&what); err != nil {
		return err
	}
	switch what {
	case "goroutine":
		go func() { select {} }()
	case "file":
		name, err := os.Open(os.DevNull)
		kept = name
		return err
	}
	return nil
}

var kept *os.File
