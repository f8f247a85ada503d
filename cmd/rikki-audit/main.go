// Command rikki-audit makes go vet find Go code that connects to MongoDB by hand:
//
//	go install github.com/rikki-go/rikki/cmd/rikki-audit@latest
//	go vet -vettool=$(which rikki-audit) ./...
//
// For scripts in other languages, and for counts, see rikki audit.
package main

import (
	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/rikki-go/rikki/internal/audit/vet"
)

func main() { unitchecker.Main(vet.New()) }
