package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/params"
)

// completionBudget is how long a person who pressed Tab will wait.
const completionBudget = 300 * time.Millisecond

// candidates answers the shell: values after --flag=, flags after a dash, arguments otherwise. Whatever goes wrong,
// it offers nothing and says nothing.
func (p *program) candidates(ctx context.Context, c *command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completionBudget)
	defer cancel()
	const nothingElse = cobra.ShellCompDirectiveNoFileComp
	specs := p.specsFor(c, args)
	if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(name, "--") {
		field, found := fieldOf(specs, name[2:])
		if !found {
			return nil, nothingElse
		}
		if isFile(field) {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return withPrefix(value, name+"=", field.Enum), nothingElse
	}
	if strings.HasPrefix(word, "-") {
		return flagNames(specs, args, word), nothingElse | cobra.ShellCompDirectiveNoSpace
	}
	if last := lastOf(args); strings.HasPrefix(last, "--") && !strings.Contains(last, "=") {
		if field, found := fieldOf(specs, last[2:]); found && field.Kind != params.Bool {
			if isFile(field) {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return withPrefix(word, "", field.Enum), nothingElse
		}
	}
	if c.complete == nil || len(p.wordsOf(args)) >= len(c.args) && !c.repeats() {
		return nil, nothingElse
	}
	return withPrefix(word, "", c.complete(ctx, p.wordsOf(args))), nothingElse
}

// specsFor lists the flags that may stand on this line.
func (p *program) specsFor(c *command, args []string) []*params.Spec {
	var specs []*params.Spec
	add := func(spec *params.Spec, err error) {
		if err == nil {
			specs = append(specs, spec)
		}
	}
	if c.name == runName {
		if app, err := p.offline(); err == nil {
			if script, err := app.Script(p.scriptOf(app, args)); err == nil {
				specs = append(specs, script.Params)
			}
		}
	}
	add(params.Of(flagsOf(c)))
	add(p.globalSpec())
	return specs
}

func fieldOf(specs []*params.Spec, name string) (params.Field, bool) {
	for _, spec := range specs {
		for _, field := range spec.Fields() {
			if field.Path == name {
				return field, true
			}
		}
	}
	return params.Field{}, false
}

func isFile(f params.Field) bool { return f.Placeholder == "FILE" }

// flagNames lists flags that are not on the line yet.
func flagNames(specs []*params.Spec, args []string, word string) []string {
	var names []string
	for _, spec := range specs {
		for _, f := range spec.Fields() {
			name := "--" + f.Path
			if f.Secret || used(args, name) {
				continue
			}
			if f.Kind != params.Bool {
				name += "="
			}
			names = append(names, strings.TrimSuffix(name+"\t"+f.Help, "\t"))
		}
	}
	return withPrefix(word, "", names)
}

func used(args []string, flag string) bool {
	for _, arg := range args {
		if arg == flag || strings.HasPrefix(arg, flag+"=") {
			return true
		}
	}
	return false
}

// withPrefix returns the candidates that begin with what was typed, each behind lead.
func withPrefix(typed, lead string, candidates []string) []string {
	var fit []string
	for _, c := range candidates {
		if strings.HasPrefix(c, typed) {
			fit = append(fit, lead+c)
		}
	}
	return fit
}

func lastOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[len(args)-1]
}
