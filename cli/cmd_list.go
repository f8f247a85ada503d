package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
)

// listPatience is how long a list of scripts waits for the history, which it can do without.
const listPatience = time.Second

type listFlags struct {
	Offline bool `help:"Don't look for the last runs."`
}

type scriptJSON struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Params      []string      `json:"params"`
	DryRun      bool          `json:"dry_run"`
	Timeout     string        `json:"timeout,omitempty"`
	LastRun     *rikki.Record `json:"last_run,omitempty"`
}

func newListCommand(p *program) *cobra.Command {
	flags := &listFlags{}
	c := &command{
		name: "list", short: "List the scripts, their parameters and their last runs.", flags: flags,
		examples: []string{"list", "list --offline --json"},
	}
	c.run = func(ctx context.Context, _ []string) error { return p.list(ctx, *flags) }
	return p.cobra(c)
}

func (p *program) list(ctx context.Context, flags listFlags) error {
	app, err := p.offline()
	if err != nil {
		return err
	}
	last := map[string]rikki.Record{}
	if !flags.Offline && len(p.app.Scripts) > 0 {
		last = p.lastRuns(ctx, app.Scripts())
	}
	if p.term.JSON() {
		return p.term.Result(listJSON(app.Scripts(), last))
	}
	if len(app.Scripts()) == 0 {
		p.term.Note("This program has no scripts. Make one: %s", p.call("new", "script", "NAME"))
		return nil
	}
	table := term.Table{Columns: []term.Column{
		{Name: "Script"}, {Name: "Description", Flex: true}, {Name: "Parameters", Flex: true}, {Name: "Last run"},
	}}
	for _, script := range app.Scripts() {
		table.Rows = append(table.Rows, []string{
			script.Name, script.Options.Description, brief(paramNames(script)), p.lastText(last, script.Name),
		})
	}
	return p.term.Table(table)
}

func listJSON(scripts []rikki.ScriptInfo, last map[string]rikki.Record) any {
	list := []scriptJSON{}
	for _, script := range scripts {
		item := scriptJSON{
			Name: script.Name, Description: script.Options.Description,
			Params: paramNames(script), DryRun: script.Options.DryRun,
		}
		if script.Options.Timeout > 0 {
			item.Timeout = script.Options.Timeout.String()
		}
		if record, ok := last[script.Name]; ok {
			item.LastRun = &record
		}
		list = append(list, item)
	}
	return struct {
		V       int          `json:"v"`
		Scripts []scriptJSON `json:"scripts"`
	}{1, list}
}

// brief names the first parameters: a backfill has a dozen of its kind.
func brief(names []string) string {
	const most = 5
	if len(names) > most {
		names = append(slices.Clip(names[:most]), "…")
	}
	return strings.Join(names, " ")
}

func paramNames(script rikki.ScriptInfo) []string {
	names := []string{}
	for _, field := range script.Params.Fields() {
		names = append(names, "--"+field.Path)
	}
	return names
}

func (p *program) lastText(last map[string]rikki.Record, script string) string {
	record, ok := last[script]
	switch {
	case !ok:
		return "-"
	case p.term.Plain():
		return string(record.State) + " " + record.StartedAt.UTC().Format(time.RFC3339)
	}
	return stateText(record.State) + " " + term.Ago(record.StartedAt, time.Now())
}

// lastRuns looks up the newest run of each script. A list of scripts is of use without it too, so it doesn't wait
// long, and starts no embedded server that has no history anyway.
func (p *program) lastRuns(ctx context.Context, scripts []rikki.ScriptInfo) map[string]rikki.Record {
	last := map[string]rikki.Record{}
	to, err := p.target()
	if err != nil || to.embedded && !exists(to.dir) {
		return last
	}
	if p.flags.ConnectTimeout == 0 {
		p.flags.ConnectTimeout = listPatience
	}
	err = p.with(ctx, func(s *session) error {
		for _, script := range scripts {
			for record, err := range s.runs.Runs(ctx, rikki.RunFilter{Script: script.Name, Limit: 1}) {
				if err != nil {
					return err
				}
				last[script.Name] = record
			}
		}
		return nil
	})
	if err != nil {
		p.term.Note("The last runs are not shown: %s", plain(err))
	}
	return last
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
