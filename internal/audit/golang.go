package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"strings"
)

// ByHand tells the functions that connect: by the path of their package, without the major version, and their name.
func ByHand(pkg, name string) bool {
	switch pkg {
	case "go.mongodb.org/mongo-driver/mongo", "go.mongodb.org/mongo-driver/v2/mongo":
		return name == "Connect" || name == "NewClient"
	case "gopkg.in/mgo.v2", "github.com/globalsign/mgo":
		return name == "Dial" || name == "DialWithTimeout" || name == "DialWithInfo"
	case "github.com/qiniu/qmgo":
		return name == "Open" || name == "NewClient"
	}
	return false
}

// goFindings reads one file by itself. The type checker resolves names, so that an alias counts and a variable that
// happens to be called mongo doesn't; it is told nothing about the imported packages, and its complaints about that
// are ignored.
func goFindings(name string, src []byte) ([]Finding, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: emptyImporter{}, Error: func(error) {}, FakeImportC: true}
	_, _ = config.Check("audit", fset, []*ast.File{file}, info) // see above

	dotted := dotImports(file)
	var found []Finding
	add := func(pos token.Pos, pkg, name string) {
		if ByHand(pkg, name) {
			at := fset.Position(pos)
			found = append(found, Finding{Line: at.Line, Column: at.Column, Call: lastOf(pkg) + "." + name})
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok {
				if pkg, ok := info.Uses[id].(*types.PkgName); ok {
					add(n.Pos(), pkg.Imported().Path(), n.Sel.Name)
				}
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && info.Uses[id] == nil {
				for _, pkg := range dotted {
					add(n.Pos(), pkg, id.Name)
				}
			}
		}
		return true
	})
	return found, nil
}

func dotImports(file *ast.File) []string {
	var paths []string
	for _, spec := range file.Imports {
		if spec.Name != nil && spec.Name.Name == "." {
			paths = append(paths, strings.Trim(spec.Path.Value, "\"`"))
		}
	}
	return paths
}

// emptyImporter knows every package, and nothing about any.
type emptyImporter struct{}

func (emptyImporter) Import(pkg string) (*types.Package, error) {
	p := types.NewPackage(pkg, lastOf(pkg))
	p.MarkComplete()
	return p, nil
}

// lastOf is the name of a package with that path, as far as the path tells: mgo for gopkg.in/mgo.v2.
func lastOf(pkg string) string {
	name := path.Base(pkg)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(pkg))
	}
	name, _, _ = strings.Cut(name, ".")
	return strings.TrimPrefix(name, "go-")
}
