package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/jsonconfig"
)

func newConfigCommand(p *program) *cobra.Command {
	return p.group(&command{
		name: "config", short: "Read and change config documents, with their history.",
		examples: []string{"config list", "config get rate-limits", "config set rate-limits @limits.json --why=\"more traffic\""},
	}, newConfigListCommand(p), newConfigGetCommand(p), newConfigSetCommand(p), newConfigHistoryCommand(p),
		newConfigDiffCommand(p), newConfigRevertCommand(p))
}

// configs calls fn with the configs of the database.
func (p *program) configs(ctx context.Context, fn func(ctx context.Context, configs *jsonconfig.Configs) error) error {
	return p.with(ctx, func(s *session) error {
		err := s.runs.Conn().With(ctx, func(ctx context.Context, ref *conn.Ref) error {
			return fn(ctx, jsonconfig.New(ref.DB(), &jsonconfig.Options{By: p.env.Get("RIKKI_ACTOR")}))
		})
		return p.configError(err)
	})
}

func (p *program) configError(err error) error {
	switch {
	case errors.Is(err, jsonconfig.ErrNotFound):
		return &problemError{What: err.Error(), Fix: "see " + p.call("config", "list"), Code: ExitUsage, Err: err}
	case errors.Is(err, jsonconfig.ErrInvalid):
		return &problemError{What: err.Error(), Code: ExitUsage, Err: err}
	case errors.Is(err, jsonconfig.ErrConflict):
		return &problemError{What: err.Error(), Code: ExitFailed, Err: err}
	}
	return err
}

// configJSON is a version of a config.
type configJSON struct {
	V           int             `json:"v"`
	Slug        string          `json:"slug"`
	Aliases     []string        `json:"aliases,omitempty"`
	Name        string          `json:"name,omitempty"`
	Description string          `json:"description,omitempty"`
	Version     int64           `json:"version"`
	By          string          `json:"by"`
	Why         string          `json:"why,omitempty"`
	At          time.Time       `json:"at"`
	Deleted     bool            `json:"deleted,omitempty"`
	Value       json.RawMessage `json:"value,omitempty"`
}

func jsonOfConfig(c jsonconfig.Config) (configJSON, error) {
	view := configJSON{
		V: 1, Slug: c.Slug, Aliases: c.Aliases, Name: c.Name, Description: c.Description,
		Version: c.Version, By: c.By, Why: c.Why, At: c.At, Deleted: c.Deleted,
	}
	if c.Deleted {
		return view, nil
	}
	var err error
	view.Value, err = c.JSON()
	return view, err
}

func newConfigListCommand(p *program) *cobra.Command {
	c := &command{name: "list", short: "List the configs.", examples: []string{"config list"}}
	c.run = func(ctx context.Context, _ []string) error {
		return p.configs(ctx, func(ctx context.Context, configs *jsonconfig.Configs) error {
			var all []jsonconfig.Config
			for config, err := range configs.List(ctx) {
				if err != nil {
					return err
				}
				all = append(all, config)
			}
			return p.printConfigs("configs", all, "No configs. Make one: "+p.call("config", "set", "NAME", "VALUE"))
		})
	}
	return p.cobra(c)
}

func newConfigHistoryCommand(p *program) *cobra.Command {
	c := &command{name: "history", short: "List the versions of a config.", args: []string{"NAME"}, examples: []string{"config history rate-limits"}}
	c.run = func(ctx context.Context, args []string) error {
		return p.configs(ctx, func(ctx context.Context, configs *jsonconfig.Configs) error {
			var all []jsonconfig.Config
			for config, err := range configs.History(ctx, args[0]) {
				if err != nil {
					return err
				}
				all = append(all, config)
			}
			return p.printConfigs("versions", all, "")
		})
	}
	return p.cobra(c)
}

// printConfigs lists configs, or the versions of one.
func (p *program) printConfigs(what string, configs []jsonconfig.Config, empty string) error {
	if p.term.JSON() {
		list := []configJSON{}
		for _, config := range configs {
			view, err := jsonOfConfig(config)
			if err != nil {
				return err
			}
			list = append(list, view)
		}
		return p.term.Result(map[string]any{"v": 1, what: list})
	}
	table := term.Table{Empty: empty, Columns: []term.Column{
		{Name: "Config"},
		{Name: "Aliases", Flex: true},
		{Name: "Name", Flex: true},
		{Name: "Version", Align: term.Right},
		{Name: "Changed"},
		{Name: "By"},
		{Name: "Why", Flex: true},
	}}
	for _, c := range configs {
		changed := term.Ago(c.At, time.Now())
		if p.term.Plain() {
			changed = c.At.UTC().Format(time.RFC3339)
		}
		why := c.Why
		if c.Deleted {
			why = strings.TrimSpace("(deleted) " + why)
		}
		table.Rows = append(table.Rows, []string{
			c.Slug, strings.Join(c.Aliases, ","), c.Name, strconv.FormatInt(c.Version, 10), changed, c.By, why,
		})
	}
	return p.term.Table(table)
}

type configGetFlags struct {
	Version int64 `min:"0" help:"This version (default: the newest)."`
}

func newConfigGetCommand(p *program) *cobra.Command {
	flags := &configGetFlags{}
	c := &command{
		name: "get", short: "Print the value of a config.", args: []string{"NAME"}, flags: flags,
		long:     "NAME is a slug or an alias. With --json its version and author come with it.",
		examples: []string{"config get rate-limits", "config get rate-limits --version=3"},
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.configs(ctx, func(ctx context.Context, configs *jsonconfig.Configs) error {
			config, err := configAt(ctx, configs, args[0], flags.Version)
			if err != nil {
				return err
			}
			return p.printConfig(config)
		})
	}
	return p.cobra(c)
}

func configAt(ctx context.Context, configs *jsonconfig.Configs, key string, version int64) (jsonconfig.Config, error) {
	if version == 0 {
		return configs.Get(ctx, key)
	}
	return configs.Version(ctx, key, version)
}

func (p *program) printConfig(config jsonconfig.Config) error {
	view, err := jsonOfConfig(config)
	if err != nil {
		return err
	}
	if p.term.JSON() {
		return p.term.Result(view)
	}
	return p.term.Result(view.Value)
}

// readValue reads a value from the argument itself, from a file or from standard input.
func (p *program) readValue(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		if p.std.In == nil {
			return nil, nil
		}
		return io.ReadAll(p.std.In)
	case strings.HasPrefix(arg, "@"):
		return os.ReadFile(arg[1:])
	}
	return []byte(arg), nil
}
