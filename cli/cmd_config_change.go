package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/jsonconfig"
)

type configSetFlags struct {
	Why         string   `placeholder:"TEXT" help:"Why, for the history."`
	Version     int64    `min:"0" help:"Change this version only; if there is a newer one, fail."`
	Alias       []string `placeholder:"NAME" help:"Further names of the config, in place of those it has."`
	Name        *string  `placeholder:"TEXT" help:"A name for people."`
	Description *string  `placeholder:"TEXT" help:"What the config is for."`
}

func newConfigSetCommand(p *program) *cobra.Command {
	flags := &configSetFlags{}
	c := &command{
		name: "set", short: "Make a config, or a new version of one.", args: []string{"NAME", "VALUE"}, flags: flags,
		long:     "VALUE is JSON; @FILE reads it from a file, - from standard input. Configs are no place for secrets.",
		examples: []string{`config set rate-limits '{"perMinute": 60}'`, "config set rate-limits @limits.json --why=\"more traffic\""},
	}
	c.run = func(ctx context.Context, args []string) error {
		data, err := p.readValue(args[1])
		if err != nil {
			return err
		}
		value, err := jsonconfig.FromJSON(data)
		if err != nil {
			return p.configError(err)
		}
		return p.configs(ctx, func(ctx context.Context, configs *jsonconfig.Configs) error {
			stored, err := setConfig(ctx, configs, args[0], value, *flags)
			if err != nil {
				return err
			}
			return p.changed(stored)
		})
	}
	return p.cobra(c)
}

// setConfig creates the config or adds a version to it.
func setConfig(ctx context.Context, configs *jsonconfig.Configs, key string, value any, flags configSetFlags) (jsonconfig.Config, error) {
	config, err := configs.Get(ctx, key)
	missing := errors.Is(err, jsonconfig.ErrNotFound)
	if err != nil && (!missing || flags.Version != 0) {
		return jsonconfig.Config{}, err
	}
	if missing {
		config = jsonconfig.Config{Slug: key}
	}
	config.Value = value
	if flags.Version != 0 {
		config.Version = flags.Version
	}
	if flags.Alias != nil {
		config.Aliases = flags.Alias
	}
	if flags.Name != nil {
		config.Name = *flags.Name
	}
	if flags.Description != nil {
		config.Description = *flags.Description
	}
	if missing {
		return configs.Create(ctx, config, flags.Why)
	}
	return configs.Put(ctx, config, flags.Why)
}

func (p *program) changed(config jsonconfig.Config) error {
	if p.term.JSON() {
		return p.printConfig(config)
	}
	p.term.Done("%s is at version %d", config.Slug, config.Version)
	if config.Version > 1 {
		p.term.Next(p.call("config", "diff", config.Slug))
	}
	return nil
}

func newConfigDiffCommand(p *program) *cobra.Command {
	c := &command{
		name: "diff", short: "Show what changed between two versions of a config.", args: []string{"NAME", "[FROM]", "[TO]"},
		long:     "FROM and TO are versions. Default: the one before TO, and the newest.",
		examples: []string{"config diff rate-limits", "config diff rate-limits 3 5"},
	}
	c.run = func(ctx context.Context, args []string) error {
		versions, err := versionArgs(args[1:])
		if err != nil {
			return err
		}
		return p.configs(ctx, func(ctx context.Context, configs *jsonconfig.Configs) error {
			from, to, err := twoVersions(ctx, configs, args[0], versions)
			if err != nil {
				return err
			}
			return p.printDiff(from, to)
		})
	}
	return p.cobra(c)
}

func versionArgs(args []string) ([]int64, error) {
	versions := make([]int64, len(args))
	for i, arg := range args {
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n < 1 {
			return nil, &problemError{What: quote(arg) + " is not a version", Fix: "versions count from 1; config history lists them", Code: ExitUsage}
		}
		versions[i] = n
	}
	return versions, nil
}

func twoVersions(ctx context.Context, configs *jsonconfig.Configs, key string, versions []int64) (from, to jsonconfig.Config, err error) {
	wanted := int64(0)
	if len(versions) == 2 {
		wanted = versions[1]
	}
	if to, err = configAt(ctx, configs, key, wanted); err != nil {
		return from, to, err
	}
	before := to.Version - 1
	if len(versions) > 0 {
		before = versions[0]
	}
	if before < 1 {
		return jsonconfig.Config{Slug: to.Slug}, to, &problemError{
			What: to.Slug + " has one version only: there is nothing to compare", Code: ExitUsage,
		}
	}
	from, err = configs.Version(ctx, key, before)
	return from, to, err
}

func (p *program) printDiff(from, to jsonconfig.Config) error {
	changes, err := jsonconfig.Diff(from, to)
	if err != nil {
		return err
	}
	lines := make([]string, len(changes))
	for i, change := range changes {
		lines[i] = change.String()
	}
	if p.term.JSON() {
		return p.term.Result(struct {
			V       int      `json:"v"`
			Slug    string   `json:"slug"`
			From    int64    `json:"from"`
			To      int64    `json:"to"`
			Changes []string `json:"changes"`
		}{1, to.Slug, from.Version, to.Version, lines})
	}
	p.term.Note("%s: version %d to %d", to.Slug, from.Version, to.Version)
	if len(lines) == 0 {
		p.term.Note("No difference.")
	}
	for _, line := range lines {
		if err := p.term.Print("%s", line); err != nil {
			return err
		}
	}
	return nil
}

type configRevertFlags struct {
	Why string `placeholder:"TEXT" help:"Why, for the history."`
}

func newConfigRevertCommand(p *program) *cobra.Command {
	flags := &configRevertFlags{}
	c := &command{
		name: "revert", short: "Make an older version of a config the newest.", args: []string{"NAME", "VERSION"}, flags: flags,
		long:     "Nothing is lost: the older value is stored again, as a new version. It asks first, unless --yes is said.",
		examples: []string{"config revert rate-limits 3", "config revert rate-limits 3 --yes --why=\"too strict\""},
	}
	c.run = func(ctx context.Context, args []string) error {
		versions, err := versionArgs(args[1:])
		if err != nil {
			return err
		}
		return p.configs(ctx, func(ctx context.Context, configs *jsonconfig.Configs) error {
			return p.revert(ctx, configs, args[0], versions[0], flags.Why)
		})
	}
	return p.cobra(c)
}

func (p *program) revert(ctx context.Context, configs *jsonconfig.Configs, key string, version int64, why string) error {
	newest, err := newestVersion(ctx, configs, key)
	if err != nil {
		return err
	}
	if !p.flags.Yes {
		question := fmt.Sprintf("Make version %d of %s the newest, in place of %d?", version, newest.Slug, newest.Version)
		yes, err := p.term.Confirm(ctx, question)
		if err != nil {
			return err
		}
		if !yes {
			return &problemError{What: "not reverted: the answer was no", Code: ExitCancelled}
		}
	}
	reverted, err := configs.Revert(ctx, key, version, newest.Version, why)
	if err != nil {
		return err
	}
	return p.changed(reverted)
}

// newestVersion finds the newest version also of a config that was deleted: revert brings it back.
func newestVersion(ctx context.Context, configs *jsonconfig.Configs, key string) (jsonconfig.Config, error) {
	for config, err := range configs.History(ctx, key) {
		return config, err
	}
	return jsonconfig.Config{}, &jsonconfig.NotFoundError{Key: key}
}
