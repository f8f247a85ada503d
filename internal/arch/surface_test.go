package arch_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Limits of the root package: people praise packages that can be read in one sitting.
const (
	maxTypes  = 50 // 40 until batches, tuning, partial success, retention and observers came
	maxErrors = 20
)

func TestSurface(t *testing.T) {
	t.Parallel()

	surface := exported(t, root)
	got := strings.Join(surface, "\n") + "\n"
	path := filepath.Join(root, "api.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("IsTheReviewedOne", func(t *testing.T) {
		t.Parallel()
		if diff := cmp.Diff(read(t, path), got); diff != "" {
			t.Errorf("the exported surface changed; when that is meant, run make docs (-api.txt +now):\n%s", diff)
		}
	})

	t.Run("IsSmall", func(t *testing.T) {
		t.Parallel()
		types, errs := 0, 0
		for _, line := range surface {
			name, isType := strings.CutPrefix(line, "type ")
			if isType {
				types++
			}
			name, isVar := strings.CutPrefix(name, "var ")
			name, _, _ = strings.Cut(name, " ")
			if (isVar && strings.HasPrefix(name, "Err")) || (isType && strings.HasSuffix(name, "Error")) {
				errs++
			}
		}
		t.Logf("%d exported types, %d exported errors", types, errs)
		if types == 0 || types > maxTypes {
			t.Errorf("%d exported types, at most %d", types, maxTypes)
		}
		if errs > maxErrors {
			t.Errorf("%d exported errors, at most %d", errs, maxErrors)
		}
	})
}

// exported lists what a package exports, one declaration per line, sorted: functions and methods with signatures,
// types with their exported fields and methods, constants and variables by name.
func exported(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var lines []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(file)
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil || receiverExported(d) {
					d.Body = nil
					lines = append(lines, text(t, fset, d))
				}
			case *ast.GenDecl:
				lines = append(lines, declared(t, fset, d)...)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func receiverExported(d *ast.FuncDecl) bool {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func declared(t *testing.T, fset *token.FileSet, d *ast.GenDecl) []string {
	t.Helper()
	var lines []string
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() {
					lines = append(lines, d.Tok.String()+" "+name.Name)
				}
			}
		case *ast.TypeSpec:
			lines = append(lines, typeLines(t, fset, s)...)
		}
	}
	return lines
}

func typeLines(t *testing.T, fset *token.FileSet, s *ast.TypeSpec) []string {
	t.Helper()
	name := "type " + s.Name.Name
	var fields *ast.FieldList
	kind := text(t, fset, s.Type)
	switch x := s.Type.(type) {
	case *ast.StructType:
		fields, kind = x.Fields, "struct"
	case *ast.InterfaceType:
		fields, kind = x.Methods, "interface"
	}
	if s.Assign.IsValid() {
		kind = "= " + kind
	}
	lines := []string{name + " " + kind}
	if fields == nil {
		return lines
	}
	for _, f := range fields.List {
		typ := text(t, fset, f.Type)
		if len(f.Names) == 0 {
			lines = append(lines, "field "+s.Name.Name+": "+typ)
		}
		for _, n := range f.Names {
			lines = append(lines, "field "+s.Name.Name+"."+n.Name+" "+typ)
		}
	}
	return lines
}

func text(t *testing.T, fset *token.FileSet, node any) string {
	t.Helper()
	var buf bytes.Buffer
	if err := printer.Fprint(&buf, fset, node); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(buf.String()), " ")
}
