package rikki

import "context"

// Func makes a script without parameters of its own from a function.
func Func(name string, fn func(ctx context.Context, run *Run) (any, error)) Script {
	return &funcScript{name: name, fn: fn}
}

type funcScript struct {
	name string
	fn   func(context.Context, *Run) (any, error)
}

func (f *funcScript) Options() Options     { return Options{Name: f.name} }
func (f *funcScript) Fresh() (Script, any) { return f, nil }

func (f *funcScript) Execute(ctx context.Context, run *Run) (any, error) {
	return f.fn(ctx, run)
}

// FuncOf makes a script from a function that takes its parameters as a
// struct. The same field tags apply as to the fields of a script struct.
func FuncOf[P any](name string, fn func(ctx context.Context, run *Run, params P) (any, error)) Script {
	return &typedFunc[P]{name: name, fn: fn}
}

type typedFunc[P any] struct {
	name   string
	fn     func(context.Context, *Run, P) (any, error)
	params P
}

func (f *typedFunc[P]) Options() Options { return Options{Name: f.name} }

func (f *typedFunc[P]) Fresh() (Script, any) {
	fresh := &typedFunc[P]{name: f.name, fn: f.fn}
	return fresh, &fresh.params
}

func (f *typedFunc[P]) Execute(ctx context.Context, run *Run) (any, error) {
	return f.fn(ctx, run, f.params)
}
