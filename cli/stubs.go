package cli

import "github.com/spf13/cobra"

func newListCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "list", examples: []string{"x"}})
}

func newRunsCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "runs", examples: []string{"x"}})
}

func newStatusCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "status", examples: []string{"x"}})
}

func newDoctorCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "doctor", examples: []string{"x"}})
}

func newDevCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "dev", examples: []string{"x"}})
}

func newNewCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "new", examples: []string{"x"}})
}

func newConfigCommand(p *program) *cobra.Command {
	return p.cobra(&command{name: "config", examples: []string{"x"}})
}
