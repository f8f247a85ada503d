// Package commands knows the server's commands by their names.
package commands

import "slices"

var documents = []string{"find", "aggregate", "count", "distinct", "insert", "update", "delete", "findAndModify", "bulkWrite"}

// OnDocuments lists the commands that read or write documents, as metrics.commands of serverStatus names them. What waits for others'
// writes (getMore) is none.
func OnDocuments() []string { return slices.Clone(documents) }

// IsOnDocuments says whether a command is one of [OnDocuments].
func IsOnDocuments(name string) bool { return slices.Contains(documents, name) }
