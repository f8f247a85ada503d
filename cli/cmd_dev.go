package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/internal/term"
)

func newDevCommand(p *program) *cobra.Command {
	c := &command{
		name: "dev", short: "Keep a MongoDB for development running until Ctrl-C.",
		long: "It is a real mongod, a replica set of one, with the data of this project in .rikki/mongod. While it runs, every\n" +
			"command with --embedded uses it, and so does any other program that is given its URI.",
		examples: []string{"dev", "dev --json"},
	}
	c.run = func(ctx context.Context, _ []string) error { return p.dev(ctx) }
	return p.cobra(c)
}

func (p *program) dev(ctx context.Context) error {
	to := target{}
	if err := p.givenURI(&to); err != nil {
		return err
	}
	if to.uri != "" {
		return &problemError{
			What: "dev runs a MongoDB of its own, but there is a URI from " + to.origin, Code: ExitUsage,
			Why: "what you do here would not reach the one you named", Fix: withoutURI(to.origin),
		}
	}
	p.flags.Embedded = true
	s, err := p.open(ctx, nil)
	if err != nil {
		return err
	}
	err = s.serve(ctx)
	if closeErr := s.close(ctx); closeErr != nil {
		p.term.Warn("stopping MongoDB: %v", closeErr)
	}
	return err
}

// serve tells how to connect and waits for the end, which is no failure.
func (s *session) serve(ctx context.Context) error {
	if err := s.seed(ctx); err != nil {
		return causeOf(ctx, err)
	}
	p := s.p
	uri := withDatabase(s.server.URI(), s.target.database)
	if p.term.JSON() {
		if err := p.term.Event(struct {
			V        int    `json:"v"`
			URI      string `json:"uri"`
			Database string `json:"database"`
			Dir      string `json:"dir"`
		}{1, uri, s.target.database, s.server.Dir()}); err != nil {
			return err
		}
	} else {
		if err := p.term.Fields(
			term.Field{Key: "uri", Value: uri},
			term.Field{Key: "database", Value: s.target.database},
			term.Field{Key: "data", Value: relative(s.server.Dir())},
			term.Field{Key: "shell", Value: "mongosh '" + uri + "'"},
		); err != nil {
			return err
		}
		p.term.Note("Scripts:")
		p.term.Next(p.devHints()...)
		p.term.Note("Ctrl-C ends it.")
	}
	<-ctx.Done()
	p.term.Note("Stopping …")
	return nil
}

func (p *program) devHints() []string {
	var hints []string
	for _, name := range p.plainScriptNames() {
		words := []string{runName, name}
		if !p.app.Embedded {
			words = append(words, "--embedded")
		}
		hints = append(hints, p.call(words...))
	}
	if hints == nil {
		hints = []string{p.call("new", "script", "NAME")}
	}
	return hints
}

// withDatabase puts the database into a URI of this package's own making: it has none yet, and no secret.
func withDatabase(uri, database string) string {
	before, options, _ := strings.Cut(uri, "/?")
	return before + "/" + database + "?" + options
}
