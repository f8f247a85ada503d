package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/params"
)

// planFile is what the YAML of a batch may say.
type planFile struct {
	Name        string
	Timeout     time.Duration `min:"1ms"`
	Concurrency int           `min:"1"`
	Parallel    bool
	KeepGoing   bool
	Steps       []planStep `required:"true"`
}

type planStep struct {
	Name    string
	Script  string `required:"true"`
	After   []string
	Timeout time.Duration
	Params  string // stands for the script's parameters, which only the script knows
}

// readPlan reads the plan and checks all of it, so that every mistake is told with its line.
func (p *program) readPlan(app *rikki.App, path string, job *batchJob) error {
	name, data, err := p.readNamed(path)
	if err != nil {
		return err
	}
	file, err := yamlfile.Parse(name, data)
	if err != nil {
		return err
	}
	plan := planFile{}
	given := takeParams(file.Map())
	if err := file.Fill(&plan, file.Map()); err != nil {
		return err
	}
	job.batch = rikki.Batch{Name: plan.Name, Concurrency: plan.Concurrency, KeepGoing: plan.KeepGoing}
	if plan.Parallel && plan.Concurrency == 0 {
		job.batch.Concurrency = parallelSteps
	}
	if job.flags.Timeout == 0 {
		job.flags.Timeout = plan.Timeout
	}
	var problems []error
	for i, step := range plan.Steps {
		at := fmt.Sprintf("steps[%d].params", i)
		if script, err := app.Script(step.Script); err == nil { // the check of the batch names those that aren't there
			if err := file.Inline(given[i], at, script.Params); err != nil {
				return err
			}
		}
		layers, err := p.planLayers(app, step.Script, given[i])
		problems = append(problems, below(at, err))
		job.batch.Steps = append(job.batch.Steps, rikki.Step{
			Name: step.Name, Script: step.Script, After: step.After, Timeout: step.Timeout, Params: layers,
		})
	}
	return file.Locate(params.Join(append(problems, app.CheckBatch(job.batch))...))
}

// readNamed reads a file, or standard input for "-", and says how to call it.
func (p *program) readNamed(path string) (name string, data []byte, err error) {
	if path == "-" {
		data, err = io.ReadAll(p.std.In)
		return "standard input", data, err
	}
	data, err = os.ReadFile(path)
	return path, data, err
}

// takeParams takes the scripts' own parameters out of the plan, and writes short forms out: a step that is a word is a script's
// name, and a need may stand without its list.
func takeParams(plan map[string]any) map[int]any {
	given := make(map[int]any)
	steps, _ := plan["steps"].([]any)
	for i, item := range steps {
		switch item := item.(type) {
		case string:
			steps[i] = map[string]any{"script": item}
		case map[string]any:
			if values, ok := item["params"]; ok {
				given[i] = values
				delete(item, "params")
			}
			if need, ok := item["after"].(string); ok {
				item["after"] = []any{need}
			}
		}
	}
	return given
}

// planLayers are the parameters of a step: what the plan says, then the environment.
func (p *program) planLayers(app *rikki.App, name string, given any) (any, error) {
	script, err := app.Script(name)
	if err != nil {
		return nil, nil //nolint:nilerr // the check of the batch says so, with the nearest name
	}
	env := script.Params.FromEnv(p.env.Lookup, envPrefix(name))
	switch given := given.(type) {
	case nil:
		return []params.Layer{env}, nil
	case map[string]any:
		layer, err := script.Params.FromMap(given, params.OriginFile)
		return []params.Layer{layer, env}, err
	default:
		return nil, &params.Error{Problems: []params.Problem{{Message: "parameters are keys with values, such as limit: 3"}}}
	}
}

// below moves problems to where they belong in the plan.
func below(path string, err error) error {
	invalid, ok := err.(*params.Error) //nolint:errorlint // as it came
	if !ok {
		return err
	}
	moved := &params.Error{}
	for _, p := range invalid.Problems {
		if p.Field == "" {
			p.Field = path
		} else {
			p.Field = path + "." + p.Field
		}
		moved.Problems = append(moved.Problems, p)
	}
	return moved
}
