package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

type tuneFlags struct {
	Chunk   int            `min:"1" max:"10000" help:"Documents in a chunk."`
	Workers int            `min:"1" max:"64" help:"Chunks at a time."`
	Rate    *float64       `min:"0" help:"Documents a second at most; 0 for no limit."`
	MaxLag  *time.Duration `min:"0s" help:"How far secondaries may be behind; 0s for no limit."`
	Gentle  string         `enum:"auto,always,never" help:"When to make room for others who use the server."`
	Reset   bool           `help:"Back to what the script says, but for the flags that are given."`
	For     time.Duration  `min:"1s" max:"8760h" placeholder:"DURATION" help:"How long it counts (default 12h)."`
	controlFlags
}

func (f tuneFlags) tuning() rikki.Tuning {
	t := rikki.Tuning{Chunk: f.Chunk, Workers: f.Workers, Gentle: f.Gentle, Reset: f.Reset, Lasts: f.For}
	if f.Rate != nil {
		if t.Rate = *f.Rate; t.Rate == 0 {
			t.Rate = -1 // no limit
		}
	}
	if f.MaxLag != nil {
		if t.MaxLag = *f.MaxLag; t.MaxLag == 0 {
			t.MaxLag = -time.Millisecond // the same
		}
	}
	return t
}

// check refuses what says nothing.
func (f tuneFlags) check() error {
	if f.Chunk == 0 && f.Workers == 0 && f.Rate == nil && f.MaxLag == nil && f.Gentle == "" && !f.Reset {
		return &problemError{
			What: "tune needs to know what to change", Code: ExitUsage,
			Fix: "give one of --chunk, --workers, --rate, --max-lag, --gentle, or --reset",
		}
	}
	return nil
}

func newRunsTuneCommand(p *program) *cobra.Command {
	flags := &tuneFlags{}
	c := &command{
		name: "tune", short: "Change the pace of a backfill while it runs.", args: []string{"RUN"}, flags: flags,
		long: "Works wherever the run is executed; its process learns of it within a second or so, and the change counts from the\n" +
			"next chunk on. What isn't given stays as it is. A change expires by itself, and is in the audit log.",
		examples: []string{
			"runs tune last --workers=1 --rate=200 --for=2h --reason='checkout is slow'", "runs tune r_7Kq2 --max-lag=5s",
			"runs tune r_7Kq2 --gentle=never --reason='nobody is here'", "runs tune r_7Kq2 --reset",
		},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		if err := flags.check(); err != nil {
			return err
		}
		return p.with(ctx, func(s *session) error {
			record, err := s.changeable(ctx, args[0])
			if err != nil {
				return err
			}
			record, err = s.runs.Tune(ctx, record.ID, flags.tuning(), flags.options())
			if err != nil || p.term.JSON() {
				return s.controlled(record, args[0], err, "")
			}
			p.term.Done("%s %s: %s", record.Script, record.ID, tuningText(record))
			p.term.Next(p.call("runs", "watch", record.ID))
			return nil
		})
	}
	return p.cobra(c)
}

// tuningText is what somebody wants of a run's pace: "1 worker, 200/s, by mira until 14:00 (in 2h)".
func tuningText(r rikki.Record) string {
	t := r.Tuning
	if t == nil {
		return ""
	}
	var parts []string
	add := func(set bool, format string, v any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	add(t.Chunk != 0, "chunks of %d", t.Chunk)
	add(t.Workers != 0, "%d at a time", t.Workers)
	add(t.Rate > 0, "at most %g documents a second", t.Rate)
	add(t.Rate < 0, "%s", "no limit on the rate")
	add(t.MaxLag > 0, "secondaries at most %s behind", t.MaxLag)
	add(t.MaxLag < 0, "%s", "no limit on the lag")
	add(t.Gentle == string(backfill.GentleAuto), "%s", "gently while there are others")
	add(t.Gentle == string(backfill.GentleAlways), "%s", "gently")
	add(t.Gentle == string(backfill.GentleNever), "%s", "not gently")
	if len(parts) == 0 {
		return "as the script says; by " + t.Actor + " " + term.Ago(t.At, time.Now())
	}
	text := strings.Join(parts, ", ") + "; by " + t.Actor
	if t.Until.Before(time.Now()) {
		return text + ", expired " + term.Ago(t.Until, time.Now())
	}
	return text + " until " + term.Time(t.Until.Local()) + " (" + term.Ago(t.Until, time.Now()) + ")"
}
