package connlines

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"
)

// names are selectors and identifiers that are about a connection wherever they occur.
func connectionName(name string) bool {
	switch name {
	case "ApplyURI", "Disconnect", "Ping", "SetServerSelectionTimeout", "SetConnectTimeout", "SetMaxPoolSize", "SetMinPoolSize",
		"SetAppName", "SetTimeout", "SetRetryWrites", "Database", "readpref":
		return true
	}
	return false
}

// selected are qualified names.
func selected(pkg, name string) bool {
	switch pkg + "." + name {
	case "mongo.Connect", "mongo.Client", "options.Client", "options.ClientOptions", "run.DB", "run.Client", "conn.New", "conn.Default", "conn.Config":
		return true
	}
	return false
}

func goSource(path string, src []byte) (Count, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		return Count{}, fmt.Errorf("count connection lines: %w", err)
	}
	w := &walker{fset: fset, marked: map[int]bool{}}
	for _, decl := range file.Decls {
		w.decl(decl)
	}
	return collect(path, codeLines(src, file, fset), w.marked), nil
}

// codeLines are the lines that hold a token of code, imports and the package clause aside.
func codeLines(src []byte, file *ast.File, fset *token.FileSet) map[int]bool {
	skip := map[int]bool{fset.Position(file.Package).Line: true}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			for n := fset.Position(g.Pos()).Line; n <= fset.Position(g.End()).Line; n++ {
				skip[n] = true
			}
		}
	}
	code := map[int]bool{}
	own := token.NewFileSet()
	var s scanner.Scanner
	s.Init(own.AddFile("", -1, len(src)), src, nil, 0)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return code
		}
		if tok == token.SEMICOLON && lit == "\n" {
			continue
		}
		from := own.Position(pos).Line
		for n := from; n <= from+strings.Count(lit, "\n"); n++ {
			if !skip[n] {
				code[n] = true
			}
		}
	}
}

type walker struct {
	fset   *token.FileSet
	marked map[int]bool
}

func (w *walker) mark(n ast.Node) {
	for line := w.fset.Position(n.Pos()).Line; line <= w.fset.Position(n.End()).Line; line++ {
		w.marked[line] = true
	}
}

func (w *walker) decl(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		switch {
		case d.Type.Results != nil && mentions(d.Type.Results):
			w.mark(d) // its purpose is to connect
		case d.Body != nil:
			w.block(d.Body.List)
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return
		}
		for _, spec := range d.Specs {
			w.spec(spec)
		}
	}
}

// spec marks a constant or variable, and of a struct type only the fields that hold a connection.
func (w *walker) spec(spec ast.Spec) {
	if s, ok := spec.(*ast.TypeSpec); ok {
		if st, ok := s.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				if mentions(f) {
					w.mark(f)
				}
			}
		}
		return
	}
	if mentions(spec) {
		w.mark(spec)
	}
}

// block walks statements in order, because an error check belongs to the statement before it.
func (w *walker) block(list []ast.Stmt) {
	previous := false
	for _, s := range list {
		if check, ok := s.(*ast.IfStmt); ok && previous && check.Init == nil && aboutErr(check.Cond) {
			w.mark(s)
			continue
		}
		previous = w.stmt(s)
	}
}

// stmt marks what is about the connection and reports whether the statement as a whole is.
func (w *walker) stmt(s ast.Stmt) bool {
	switch x := s.(type) {
	case *ast.BlockStmt:
		w.block(x.List)
	case *ast.IfStmt:
		return w.ifStmt(x)
	case *ast.ForStmt:
		w.block(x.Body.List)
	case *ast.RangeStmt:
		w.block(x.Body.List)
	case *ast.SwitchStmt:
		w.block(x.Body.List)
	case *ast.TypeSwitchStmt:
		w.block(x.Body.List)
	case *ast.SelectStmt:
		w.block(x.Body.List)
	case *ast.CaseClause:
		w.block(x.Body)
	case *ast.CommClause:
		w.block(x.Body)
	default:
		if mentions(s) {
			w.mark(s)
			return true
		}
	}
	return false
}

// ifStmt counts as a whole when its condition is about the connection, as in `if err := client.Ping(ctx, nil); err != nil`.
func (w *walker) ifStmt(x *ast.IfStmt) bool {
	if (x.Init != nil && mentions(x.Init)) || mentions(x.Cond) {
		w.mark(x)
		return true
	}
	w.block(x.Body.List)
	if x.Else != nil {
		w.stmt(x.Else)
	}
	return false
}

func aboutErr(cond ast.Expr) bool {
	found := false
	ast.Inspect(cond, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || (ok && strings.HasPrefix(strings.ToLower(id.Name), "err"))
		return !found
	})
	return found
}

// mentions reports whether a piece of code names the connection.
func mentions(node ast.Node) bool {
	found := false
	ast.Inspect(node, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok && selected(id.Name, x.Sel.Name) {
				found = true
			}
			found = found || connectionName(x.Sel.Name)
		case *ast.Ident:
			found = found || x.Name == "readpref"
		case *ast.BasicLit:
			found = found || (x.Kind == token.STRING && uriText.MatchString(x.Value))
		}
		return !found
	})
	return found
}
