package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/params"
)

// newBackfillCommand returns a shorter way to run the built-in script for backfills without Go.
func newBackfillCommand(p *program) *cobra.Command {
	c := &command{
		name: backfill.AdHocName, short: "Change documents by a filter or a file, each exactly once.",
		flags: &struct {
			Spec string `placeholder:"FILE" help:"Take the flags below from this YAML file; - is standard input."`
			backfill.AdHoc
			backfill.Knobs
			runFlags
			queueFlags
		}{},
		long: "Walks a collection in chunks, each one transaction: it can be paused, resumed after a crash, tuned while it runs, and\n" +
			"undone (runs undo). Begin with --dry-run: it shows what would change, field by field, and how long it would take.\n" +
			"A file of rows, CSV or NDJSON, changes the documents that have a row's value in a field: --file with --upsert-by, --update-by\n" +
			"or --delete-by. What is more than that or an expression is a script in Go.",
		examples: []string{
			`backfill --collection=users --update='[{"$set": {"email": {"$toLower": "$email"}}}]' --dry-run`,
			`backfill --collection=users --filter='{"plan": null}' --update='{"$set": {"plan": "free"}}' --limit=100`,
			"backfill --collection=users --file=users.csv --upsert-by=email --types=age=int,joined=date --dry-run",
			`backfill --collection=sessions --filter='{"lastUsed": {"$lt": {"$date": "2026-01-01T00:00:00Z"}}}' --delete`,
			"backfill --spec=lowercase.yaml --max-lag=5s --window=22:00-05:00",
		},
	}
	c.parse = func(ctx context.Context, args []string) error {
		read, err := p.readSpec(args)
		if err != nil { // it is told as the global flags want it, whatever else is wrong
			_, _, setErr := p.setUpAlone(args)
			return params.Join(setErr, err)
		}
		job, err := p.readRun(ctx, append([]string{backfill.AdHocName}, read...))
		if err != nil {
			return err
		}
		if job.queue.Queue {
			if err := refuseStdin(job); err != nil {
				return err
			}
			return p.enqueue(ctx, job)
		}
		return p.run(ctx, job)
	}
	return p.cobra(c)
}

// refuseStdin refuses to queue rows that only this process could read.
func refuseStdin(j job) error {
	for _, layer := range j.layers {
		name, given := layer.Text("file")
		if given && name == backfill.Stdin {
			return &problemError{
				What: "rows of standard input can't wait in the queue", Why: "the process that takes the run has another standard input",
				Fix: "put them into a file that it can read, or leave out --queue", Code: ExitUsage,
			}
		}
		if given {
			break
		}
	}
	return nil
}

// readSpec puts what a file says in place of --spec.
func (p *program) readSpec(args []string) ([]string, error) {
	for i, arg := range args {
		var name string
		rest := args[i+1:]
		switch {
		case arg == "--spec" && len(rest) > 0:
			name, rest = rest[0], rest[1:]
		case strings.HasPrefix(arg, "--spec="):
			name = strings.TrimPrefix(arg, "--spec=")
		case arg == "--spec":
			return nil, problemf(ExitUsage, "--spec needs the name of a file")
		default:
			continue
		}
		if slices.ContainsFunc(rest, func(s string) bool { return s == "--spec" || strings.HasPrefix(s, "--spec=") }) {
			return nil, problemf(ExitUsage, "--spec can be given once")
		}
		config, err := p.specFile(name)
		if err != nil {
			return nil, err
		}
		return append(append(append([]string(nil), args[:i]...), "--config="+config), rest...), nil
	}
	return args, nil
}

// specFile reads a file and checks it, so that what is wrong has a line.
func (p *program) specFile(name string) (string, error) {
	name, data, err := p.readNamed(name)
	if err != nil {
		return "", &problemError{What: "cannot read " + name, Why: reason(err), Code: ExitUsage, Fix: "check the name of the file", Err: err}
	}
	file, err := yamlfile.Parse(name, data)
	if err != nil {
		return "", err
	}
	spec := file.Map()
	var alone struct { // the flags may say the rest, so the whole is checked with them
		Script backfill.AdHoc `params:",inline"`
		backfill.Knobs
	}
	known, err := params.Of(&alone)
	if err != nil {
		return "", err
	}
	if err := file.Inline(spec, "", known); err != nil {
		return "", err
	}
	if err := file.Fill(&alone, spec); err != nil {
		return "", err
	}
	encoded, err := json.Marshal(spec)
	return string(encoded), err
}
