package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	xterm "golang.org/x/term"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
)

// onlySecretsMissing tells whether nothing is wrong with the parameters but that secrets are missing.
func onlySecretsMissing(script rikki.ScriptInfo, err error) bool {
	invalid, ok := errors.AsType[*params.Error](err)
	if !ok {
		return false
	}
	secret := map[string]bool{}
	for _, field := range script.Params.Fields() {
		secret[field.Path] = field.Secret
	}
	return !slices.ContainsFunc(invalid.Problems, func(problem params.Problem) bool {
		return !secret[problem.Field] || problem.Origin != ""
	})
}

// secretsMissing names the variables that would have the missing secrets.
func secretsMissing(script rikki.ScriptInfo, err error) error {
	invalid, _ := errors.AsType[*params.Error](err)
	var names []string
	for _, field := range script.Params.Fields() {
		missing := slices.ContainsFunc(invalid.Problems, func(p params.Problem) bool { return p.Field == field.Path })
		if variables := field.EnvNames(envPrefix(script.Name)); missing && len(variables) > 0 {
			names = append(names, variables[0])
		}
	}
	return &problemError{
		What: invalid.Error(), Fix: "set " + strings.Join(names, " and ") + " in the environment or in .env",
		Code: ExitUsage, Err: err,
	}
}

// askSecrets asks for the required secrets that no layer has.
func (p *program) askSecrets(ctx context.Context, j *job) ([]params.Layer, error) {
	var asked []params.Layer
	for _, field := range j.script.Params.Fields() {
		if !field.Secret || !field.Required || given(field.Path, j.layers) {
			continue
		}
		answer, err := p.askSecret(ctx, cmp.Or(field.Help, field.Path))
		if err != nil {
			return nil, err
		}
		layer, err := j.script.Params.FromMap(map[string]any{field.Path: answer}, params.OriginForm)
		if err != nil {
			return nil, err
		}
		asked = append(asked, layer)
	}
	return asked, nil
}

// askSecret asks without showing the answer. Ctrl-C ends the question, and the terminal shows again what is typed: a
// read from a terminal can't be taken back, so it goes on in the background until the process ends, which is soon.
func (p *program) askSecret(ctx context.Context, question string) (string, error) {
	type answer struct {
		text string
		err  error
	}
	restore := func() {}
	if f, ok := p.std.In.(*os.File); ok {
		if state, err := xterm.GetState(int(f.Fd())); err == nil {
			restore = func() { _ = xterm.Restore(int(f.Fd()), state) } // nothing better can be done
		}
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := p.term.Secret(ctx, question)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-ctx.Done():
		restore()
		_, _ = io.WriteString(p.term.Err(), "\n") // the question's line is still open
		return "", context.Cause(ctx)
	}
}
