// Package preview says what a dry run found. A [Report] is part of the result
// of a run; see rikki.RunOptions.DryRun.
package preview
