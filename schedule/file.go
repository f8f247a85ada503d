package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/params"
)

// fileText is what a file of schedules may say.
type fileText struct {
	Schedules []entryText `required:"true"`
}

type entryText struct {
	Name   string
	Script string `required:"true"`
	Params string // stands for the script's parameters, which only the script knows
	Text
}

// Load reads a YAML file of schedules:
//
//	schedules:
//	  - name: nightly
//	    script: report
//	    cron: "30 2 * * *"
//	    zone: Europe/Berlin
//	    params: {size: 5}
//
// Its keys are those of [Text], as they are called on the command line. Everything that is wrong with the file or a schedule in it
// is told at once, with line and caret.
func Load(app *rikki.App, path string) ([]Schedule, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(app, path, data)
}

// Parse is [Load] for a file that was read already. The name is for messages.
func Parse(app *rikki.App, name string, data []byte) ([]Schedule, error) {
	file, err := yamlfile.Parse(name, data)
	if err != nil {
		return nil, err
	}
	given := takeParams(file.Map())
	var text fileText
	if err := file.Fill(&text, file.Map()); err != nil {
		return nil, err
	}
	var list []Schedule
	var wrong params.Error
	seen := map[string]int{}
	for i, entry := range text.Schedules {
		at := fmt.Sprintf("schedules[%d]", i)
		def, err := entry.Schedule(time.Now())
		def.Name, def.Script, def.Params = cmp.Or(entry.Name, entry.Script), entry.Script, given[i]
		if script, err := app.Script(entry.Script); err == nil { // compile names those that aren't there
			if err := file.Inline(given[i], at+".params", script.Params); err != nil {
				return nil, err
			}
		}
		wrong.Problems = append(wrong.Problems, placed(at, err)...)
		if err == nil {
			_, err = compile(app, def)
			wrong.Problems = append(wrong.Problems, placed(at, err)...)
		}
		if first, twice := seen[def.Name]; twice {
			wrong.Problems = append(wrong.Problems, params.Problem{
				Field: at + ".name", Message: fmt.Sprintf("schedule %d has the name %s, too", first+1, def.Name),
			})
		}
		seen[def.Name] = i
		list = append(list, def)
	}
	if len(wrong.Problems) > 0 {
		return nil, file.Locate(&wrong)
	}
	return list, nil
}

// takeParams takes the scripts' own parameters out of the file.
func takeParams(file map[string]any) map[int]any {
	given := map[int]any{}
	entries, _ := file["schedules"].([]any)
	for i, item := range entries {
		entry, ok := item.(map[string]any)
		if !ok {
			continue
		}
		if values, ok := entry["params"]; ok {
			given[i] = values
			delete(entry, "params")
		}
	}
	return given
}

// placed are problems of one schedule as those of the file.
func placed(at string, err error) []params.Problem {
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*Error](err)
	if !ok {
		return []params.Problem{{Field: at + ".script", Message: err.Error()}}
	}
	var list []params.Problem
	for _, p := range invalid.Problems {
		message := p.What
		if p.Width > 0 && p.Width < len(p.Text) {
			message += fmt.Sprintf(", at %q", p.Text[p.Column:min(p.Column+p.Width, len(p.Text))])
		}
		if p.Fix != "" {
			message += "; " + strings.TrimSuffix(p.Fix, ".")
		}
		list = append(list, params.Problem{Field: at + "." + cmp.Or(p.Field, "name"), Message: message})
	}
	return list
}
