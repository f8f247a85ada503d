package cli

import (
	"cmp"
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
)

// versions is what a fault report has to say about the program.
type versions struct {
	Program  string `json:"program"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Rikki    string `json:"rikki"`
	Driver   string `json:"driver,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versions() versions {
	v := versions{
		Program: p.name, Version: p.app.Version, Rikki: rikki.Version(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(v.Version, info.Main.Version)
	for _, dep := range info.Deps {
		if dep.Path == "go.mongodb.org/mongo-driver/v2" {
			v.Driver = dep.Version
		}
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

func (v versions) fields() []term.Field {
	revision := v.Revision
	if revision != "" && v.Modified {
		revision += " (with changes)"
	}
	return []term.Field{
		{Key: v.Program, Value: cmp.Or(v.Version, "(devel)")},
		{Key: "revision", Value: revision},
		{Key: "rikki", Value: v.Rikki},
		{Key: "mongo driver", Value: v.Driver},
		{Key: "go", Value: v.Go + " " + v.Platform},
	}
}

func newVersionCommand(p *program) *cobra.Command {
	c := &command{name: "version", short: "Print the versions of the program and what it is built of.", examples: []string{"version --json"}}
	c.run = func(context.Context, []string) error {
		v := p.versions()
		if p.term.JSON() {
			return p.term.Result(v)
		}
		return p.term.Fields(v.fields()...)
	}
	return p.cobra(c)
}
