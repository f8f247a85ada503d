package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newCompletionCommand(p *program) *cobra.Command {
	c := &command{
		name: "completion", short: "Print the completion script of a shell.", args: []string{"SHELL"},
		long:     "SHELL is bash, zsh, fish or powershell. Scripts, parameters, their values and run IDs are completed.",
		examples: []string{"completion bash > /etc/bash_completion.d/" + p.name, "completion zsh > ~/.zfunc/_" + p.name},
		complete: func(context.Context, []string) []string { return []string{"bash", "zsh", "fish", "powershell"} },
	}
	cmd := p.cobra(c)
	c.run = func(_ context.Context, args []string) error {
		root, out := cmd.Root(), p.std.Out
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(out, true)
		case "zsh":
			return root.GenZshCompletion(out)
		case "fish":
			return root.GenFishCompletion(out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(out)
		}
		return &problemError{
			What: fmt.Sprintf("completion: %q is none of bash, zsh, fish, powershell", args[0]), Code: ExitUsage,
		}
	}
	return cmd
}
