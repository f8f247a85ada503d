package rikki

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rikki-go/rikki/params"
)

// Input checks the parameters of a script as [App.Enqueue] does, and returns
// them as JSON in a form that [RunOptions.Params] takes: those that were given,
// but no defaults, so that a script's new default counts, and relative times as
// they are. Nothing connects.
func (a *App) Input(script string, given any) (json.RawMessage, error) {
	e, err := a.lookup(script)
	if err != nil {
		return nil, err
	}
	x := &execution{app: a, entry: e, redactor: a.redactor.Clone()}
	full, err := x.storedInput(given, inQueue)
	if err != nil {
		return nil, err
	}
	layers, err := x.layers(given)
	if err != nil || layers == nil && given != nil {
		return json.RawMessage(full), err // a struct, in which a default can't be told from what was given
	}
	return e.given([]byte(full), layers)
}

// given leaves of a script's parameters what one of the layers has.
func (e *entry) given(full []byte, layers []params.Layer) (json.RawMessage, error) {
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(full))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("parameters of script %s: %w", e.name, err)
	}
	for _, field := range e.spec.Fields() {
		has := func(l params.Layer) bool { return l.Origin() != params.OriginEnv && l.Has(field.Path) }
		path := strings.Split(field.Path, ".")
		i := slices.IndexFunc(layers, has)
		switch {
		case i < 0:
			prune(tree, path)
		case field.Kind == params.Time:
			// What is relative, as -7d is, stays so: it is meant from the time at which the run begins.
			if text, ok := layers[i].Text(field.Path); ok {
				graft(tree, path, text)
			}
		}
	}
	return json.Marshal(tree)
}

// graft replaces one leaf.
func graft(tree map[string]any, path []string, value any) {
	for ; len(path) > 1; path = path[1:] {
		sub, ok := tree[path[0]].(map[string]any)
		if !ok {
			return
		}
		tree = sub
	}
	tree[path[0]] = value
}

// prune removes one leaf, and what is empty without it.
func prune(tree map[string]any, path []string) {
	if sub, ok := tree[path[0]].(map[string]any); ok && len(path) > 1 {
		if prune(sub, path[1:]); len(sub) > 0 {
			return
		}
	}
	delete(tree, path[0])
}
