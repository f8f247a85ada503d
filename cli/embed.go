package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/term"
)

// startEmbedded starts or joins the project's own server, and tells what it is doing: the first time it fetches some
// 70 MB.
func (p *program) startEmbedded(ctx context.Context, dir string) (*embedded.Server, error) {
	isNew := !exists(dir)
	if err := ignore(dir); err != nil {
		return nil, err
	}
	p.term.Note("No MongoDB URI is set: using the embedded MongoDB, data in %s", relative(dir))
	began := time.Now()
	fetch := &fetchView{p: p}
	server, err := embedded.Start(ctx, &embedded.Options{
		Dir: dir, Progress: fetch.show, Log: slog.New(p.term.Handler(p.flags.embeddedLevel())),
	})
	fetch.done()
	if err != nil {
		return nil, err
	}
	if isNew || p.flags.Verbose {
		p.term.Note("  started on port %d in %s; it stops with the last program that uses it", server.Port(), term.Duration(time.Since(began)))
	}
	return server, nil
}

// fetchView shows a download.
type fetchView struct {
	p    *program
	name string
	bar  *term.Bar
}

func (v *fetchView) show(state embedded.Progress) {
	if v.bar == nil || v.name != state.Name {
		v.done()
		v.name = state.Name
		v.p.term.Note("  fetching %s, once", state.Name)
		v.bar = v.p.term.Progress(term.Head{Script: "fetch", Target: state.Name, Unit: "kB"})
	}
	v.bar.Set(term.Sample{Done: state.Done / 1000, Total: state.Total / 1000})
}

func (v *fetchView) done() {
	v.bar.Done()
	v.bar = nil
}

// seed puts sample data into the embedded server. It never touches a server whose URI was given.
func (s *session) seed(ctx context.Context) error {
	if s.server == nil || s.p.app.Seed == nil {
		return nil
	}
	timer := time.AfterFunc(lateAfter, func() { s.p.term.Note("  preparing sample data …") })
	defer timer.Stop()
	err := s.runs.Conn().With(ctx, func(ctx context.Context, ref *conn.Ref) error {
		return s.p.app.Seed(ctx, ref.DB())
	})
	if err != nil {
		return &problemError{What: "the sample data could not be prepared", Why: err.Error(), Code: ExitFailed, Err: err}
	}
	return nil
}
