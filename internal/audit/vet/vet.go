package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"

	"github.com/rikki-go/rikki/internal/audit"
)

// New returns the analyzer.
func New() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "byhand",
		Doc: "find scripts that connect to MongoDB by hand\n\n" +
			"A script of Rikki gets its connection: Run.DB and Run.Client. Code that calls mongo.Connect itself has to check, " +
			"retry, time out and disconnect itself too.",
		URL: "https://github.com/rikki-go/rikki/blob/main/docs/features/exec.md#migrate",
		Run: run,
	}
}

func run(pass *analysis.Pass) (any, error) {
	for _, file := range pass.Files {
		if ast.IsGenerated(file) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			fn, ok := pass.TypesInfo.Uses[id].(*types.Func)
			if !ok || fn.Pkg() == nil || fn.Signature().Recv() != nil || !audit.ByHand(fn.Pkg().Path(), fn.Name()) {
				return true
			}
			pass.Reportf(id.Pos(), "%s.%s connects by hand; %s", fn.Pkg().Name(), fn.Name(), audit.Go.Fix())
			return true
		})
	}
	return nil, nil
}
