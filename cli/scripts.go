package cli

import (
	"strings"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
)

// plainScriptNames lists the scripts' names.
func (p *program) plainScriptNames() []string {
	app, err := p.offline()
	if err != nil {
		return nil
	}
	var names []string
	for _, script := range app.Scripts() {
		names = append(names, script.Name)
	}
	return names
}

// scriptNames lists the scripts with their descriptions, for completion.
func (p *program) scriptNames() []string {
	app, err := p.offline()
	if err != nil {
		return nil
	}
	var names []string
	for _, script := range app.Scripts() {
		names = append(names, strings.TrimSuffix(script.Name+"\t"+script.Options.Description, "\t"))
	}
	return names
}

// scriptHelp prints what a script is and takes.
func (p *program) scriptHelp(b *page, args []string) error {
	app, err := p.offline()
	if err != nil {
		return err
	}
	script, err := app.Script(p.scriptOf(app, args))
	if err != nil {
		return err
	}
	words := []string{runName, script.Name}
	if p.alone {
		words = nil
	}
	title := script.Name
	if script.Options.Description != "" {
		title += " — " + script.Options.Description
	}
	b.WriteString(title + "\n")
	b.section("Usage", p.call(append(words, "[FLAGS]")...))
	b.section("Examples", p.scriptExamples(script, words)...)
	b.flags("Parameters", script.Params)
	if len(script.Params.Fields()) > 0 {
		b.WriteString("\n  Also from the environment (" + script.Params.Fields()[0].EnvNames(envPrefix(script.Name))[0] +
			"=…) and as JSON: --config='{…}' or --config=@file.\n")
	}
	run, err := p.runSpec()
	if err != nil {
		return err
	}
	b.flags("Flags of the run", run)
	queue, err := p.queueSpec()
	if err != nil {
		return err
	}
	if len(params.Clash(script.Params, queue)) == 0 {
		b.flags("Flags of the queue", queue)
	}
	if timeout := script.Options.Timeout; timeout > 0 {
		b.WriteString("\n  Timeout unless told otherwise: " + timeout.String() + "\n")
	}
	return p.globalHelp(b)
}

// scriptExamples shows the script without flags, with a dry run if it has one, and with its first parameters.
func (p *program) scriptExamples(script rikki.ScriptInfo, words []string) []string {
	var required, optional []string
	for _, field := range script.Params.Fields() {
		switch {
		case field.Secret:
		case field.Required:
			required = append(required, exampleOf(field))
		case len(optional) == 0 && (field.Default != "" || field.Kind == params.Bool):
			optional = append(optional, exampleOf(field))
		}
	}
	words = append(words, required...)
	var lines []string
	if script.Options.DryRun {
		lines = append(lines, p.call(append(words, "--dry-run")...))
	}
	lines = append(lines, p.call(words...))
	if len(optional) > 0 {
		lines = append(lines, p.call(append(words, optional...)...))
	}
	return lines
}

func exampleOf(f params.Field) string {
	value := f.Default
	switch {
	case f.Kind == params.Bool:
		return "--" + f.Path
	case value != "":
	case len(f.Enum) > 0:
		value = f.Enum[0]
	case f.Min != "":
		value = f.Min
	default:
		value = strings.ToUpper(strings.ReplaceAll(f.Kind.String(), " ", "-"))
	}
	if strings.ContainsAny(value, " \"'$&|;<>()*?[]{}") {
		value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
	return "--" + f.Path + "=" + value
}
