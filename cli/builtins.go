package cli

import (
	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// builtins are the scripts that every program has: those behind commands of their own. They are in no list, but their runs
// are runs as any other.
func builtins() []rikki.Script {
	return []rikki.Script{backfill.NewAdHoc(), backfill.NewUndo()}
}

// addBuiltins adds them, unless the program has scripts of these names.
func addBuiltins(app *rikki.App) error {
	for _, script := range builtins() {
		name := script.(rikki.Configured).Options().Name //nolint:forcetypeassert // they are ours
		if _, err := app.Script(name); err == nil {
			continue
		}
		if err := app.Add(script); err != nil {
			return err
		}
	}
	return nil
}
