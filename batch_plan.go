package rikki

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rikki-go/rikki/params"
)

// batchPlan is a batch that was checked, as its run keeps it: names are given,
// parameters are complete and have no secrets.
type batchPlan struct {
	Name        string        `json:"name,omitempty"`
	Concurrency int           `json:"concurrency"`
	KeepGoing   bool          `json:"keep_going,omitempty"`
	Steps       []plannedStep `json:"steps"`

	// Done and Rest are runs of an earlier batch: those that need not be
	// repeated, and the last ones of the steps that did not finish.
	Done map[string]string `json:"done,omitempty"`
	Rest map[string]string `json:"rest,omitempty"`
}

type plannedStep struct {
	Name    string          `json:"name"`
	Script  string          `json:"script"`
	After   []string        `json:"after,omitempty"`
	Timeout time.Duration   `json:"timeout,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
}

// planOf reads what a batch keeps as its input.
func planOf(input string) (*batchPlan, error) {
	var stored struct {
		Plan string `json:"plan"`
	}
	if err := json.Unmarshal([]byte(input), &stored); err != nil {
		return nil, fmt.Errorf("its plan was not kept: %w", err)
	}
	return decodePlan(stored.Plan)
}

// decodePlan reads the plan itself.
func decodePlan(text string) (*batchPlan, error) {
	plan := &batchPlan{}
	if err := json.Unmarshal([]byte(text), plan); err != nil {
		return nil, fmt.Errorf("the plan of the batch can't be read: %w", err)
	}
	plan.Concurrency = max(1, plan.Concurrency)
	return plan, nil
}

// shown is what people get to see as the batch's parameters.
func (p *batchPlan) shown() map[string]any {
	names := make([]string, len(p.Steps))
	for i, step := range p.Steps {
		names[i] = step.Name
	}
	shown := map[string]any{"steps": names, "concurrency": p.Concurrency, "keep_going": p.KeepGoing}
	if p.Name != "" {
		shown["name"] = p.Name
	}
	return shown
}

// compiler checks a batch, and collects all that is wrong with it.
type compiler struct {
	app      *App
	steps    []plannedStep
	problems []params.Problem
}

// compile checks a batch without a connection.
func (a *App) compile(b Batch) (*batchPlan, error) {
	c := &compiler{app: a, steps: make([]plannedStep, len(b.Steps))}
	if len(b.Steps) == 0 {
		c.add("steps", "", params.Problem{Message: "a batch needs at least one step"})
	}
	if b.Concurrency < 0 {
		c.add("concurrency", "concurrency", params.Problem{Message: strconv.Itoa(b.Concurrency) + " is below 1"})
	}
	for i, step := range b.Steps {
		c.steps[i] = plannedStep{Name: step.Name, Script: step.Script, After: step.After, Timeout: step.Timeout}
	}
	c.name()
	for i, step := range b.Steps {
		c.script(i, step)
	}
	c.needs()
	if len(c.problems) > 0 {
		return nil, &params.Error{Problems: c.problems}
	}
	return &batchPlan{
		Name: b.Name, Concurrency: max(1, b.Concurrency), KeepGoing: b.KeepGoing, Steps: c.steps,
	}, nil
}

// recheck is compile for a plan that was stored: the program may be another.
func (a *App) recheck(plan *batchPlan) error {
	c := &compiler{app: a, steps: slices.Clone(plan.Steps)}
	for i, step := range plan.Steps {
		given := any(step.Input)
		if len(step.Input) == 0 {
			given = nil
		}
		c.script(i, Step{Script: step.Script, Params: given})
	}
	c.needs()
	if len(c.problems) > 0 {
		return &params.Error{Problems: c.problems}
	}
	return nil
}

func (c *compiler) add(field, name string, p params.Problem) {
	p.Field, p.Name = field, name
	c.problems = append(c.problems, p)
}

func (c *compiler) at(i int, member string) string { return fmt.Sprintf("steps[%d].%s", i, member) }

// name gives steps their names. The first step of a script has the script's; a
// name that somebody chose is never taken away.
func (c *compiler) name() {
	owner := make(map[string]int)
	for i, step := range c.steps {
		switch at, taken := owner[step.Name]; {
		case step.Name == "":
		case taken:
			c.add(c.at(i, "name"), "step "+step.Name, params.Problem{
				Message: fmt.Sprintf("steps %d and %d have this name: give one of them another", at+1, i+1),
			})
		case len(step.Name) > maxStepName || strings.ContainsAny(step.Name, "\n\r\t"):
			c.add(c.at(i, "name"), "step "+strconv.Itoa(i+1), params.Problem{
				Message: fmt.Sprintf("a name has at most %d characters, and one line", maxStepName),
			})
		default:
			owner[step.Name] = i
		}
	}
	for i := range c.steps {
		step := &c.steps[i]
		if step.Name != "" {
			continue
		}
		step.Name = step.Script
		for n := 2; ; n++ {
			if _, taken := owner[step.Name]; !taken {
				break
			}
			step.Name = step.Script + "-" + strconv.Itoa(n)
		}
		owner[step.Name] = i
	}
}

const maxStepName = 100

// script checks the script of a step and its parameters, and keeps those.
func (c *compiler) script(i int, given Step) {
	step := &c.steps[i]
	name := "step " + step.Name
	switch given.Script {
	case "":
		c.add(c.at(i, "script"), "step "+strconv.Itoa(i+1), params.Problem{Message: "the name of a script is missing"})
		return
	case batchName:
		c.add(c.at(i, "script"), name, params.Problem{Message: "a batch can't be a step of a batch"})
		return
	}
	e, err := c.app.lookup(given.Script)
	if err != nil {
		problem := params.Problem{Message: err.Error()}
		if unknown, ok := errors.AsType[*UnknownScriptError](err); ok {
			problem.Message, problem.Suggestion = fmt.Sprintf("unknown script %q", unknown.Name), unknown.Suggestion
		}
		c.add(c.at(i, "script"), name, problem)
		return
	}
	input, err := c.input(e, given.Params)
	if err != nil {
		c.params(i, name, err)
		return
	}
	step.Input = json.RawMessage(input)
}

// input is the complete parameters, without secrets. That those can be had where
// the step will run is found out here, too.
func (c *compiler) input(e *entry, given any) (string, error) {
	x := &execution{app: c.app, entry: e, opts: e.opts, redactor: c.app.redactor.Clone()}
	input, err := x.storedInput(given, inBatch)
	if err != nil {
		return "", err
	}
	layers, err := e.replayLayers(input, c.app.cfg.lookupEnv())
	if err != nil {
		return "", err
	}
	_, target := e.fresh()
	return input, e.spec.Fill(target, layers...)
}

// params tells what is wrong with the parameters of a step.
func (c *compiler) params(i int, name string, err error) {
	invalid, ok := errors.AsType[*params.Error](err)
	if !ok {
		c.add(c.at(i, "params"), name, params.Problem{Message: err.Error()})
		return
	}
	for _, p := range invalid.Problems {
		field := c.at(i, "params")
		label := name
		if p.Field != "" {
			field += "." + p.Field
			label += ", " + p.Field
		}
		if p.Origin == params.OriginEnv {
			label = name + ", " + p.Name
		}
		c.add(field, label, p)
	}
}

// needs checks that what the steps need exists and comes to an end.
func (c *compiler) needs() {
	index := make(map[string]int)
	var names []string
	for i, step := range c.steps {
		index[step.Name] = i
		names = append(names, step.Name)
	}
	found := len(c.problems)
	for i, step := range c.steps {
		for j, need := range step.After {
			if _, ok := index[need]; !ok {
				c.add(fmt.Sprintf("steps[%d].after[%d]", i, j), "step "+step.Name, params.Problem{
					Message: fmt.Sprintf("no step is named %q", need), Suggestion: params.Nearest(need, names),
				})
			}
		}
	}
	if len(c.problems) > found {
		return
	}
	if cycle := findCycle(c.steps, index); cycle != nil {
		var walk []string
		for _, i := range append(cycle, cycle[0]) {
			walk = append(walk, c.steps[i].Name)
		}
		c.add(c.at(cycle[0], "after"), "step "+c.steps[cycle[0]].Name, params.Problem{
			Message: "the steps wait for each other: " + strings.Join(walk, " → "),
		})
	}
}

// findCycle returns steps each of which needs the next, and the last the first.
func findCycle(steps []plannedStep, index map[string]int) []int {
	const fresh, open, clean = 0, 1, 2
	state := make([]int, len(steps))
	var path []int
	var visit func(i int) []int
	visit = func(i int) []int {
		state[i] = open
		path = append(path, i)
		for _, need := range steps[i].After {
			switch next := index[need]; state[next] {
			case open:
				return slices.Clone(path[slices.Index(path, next):])
			case fresh:
				if cycle := visit(next); cycle != nil {
					return cycle
				}
			}
		}
		path = path[:len(path)-1]
		state[i] = clean
		return nil
	}
	for i := range steps {
		if state[i] == fresh {
			if cycle := visit(i); cycle != nil {
				return cycle
			}
		}
	}
	return nil
}
