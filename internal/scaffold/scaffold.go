package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/rikki-go/rikki/params"
)

//go:embed templates
var templates embed.FS

// File is one file to be written. Its path begins with the directory that the plan was made for.
type File struct {
	Path string
	Data []byte
}

// Plan is what will be written, and what to type next.
type Plan struct {
	Files []File
	Next  []string
}

// Error says what is in the way and how to get round it.
type Error struct {
	What string
	Fix  string
	Err  error
}

func (e *Error) Error() string { return e.What }

func (e *Error) Unwrap() error { return e.Err }

// data is what the templates see.
type data struct {
	Name    string // kebab-case
	Type    string
	Value   string // of the script, as cli.Main takes it
	Module  string
	Rename  bool // the name derived from the type is another one
	Program bool // the script is a program of its own
}

// Script plans a script and its test. In a directory that holds a program (package main), the script joins it; anywhere
// else it becomes a program of its own in a new directory of its name.
func Script(dir, name string) (Plan, error) { return script(dir, name, "script", "&%s{}") }

// Backfill plans a backfill and its test in the same way.
func Backfill(dir, name string) (Plan, error) {
	return script(dir, name, "backfill", "backfill.New[%[1]sDoc](&%[1]s{})")
}

// script plans the files of a pair of templates. value is a format that makes the script of its type's name.
func script(dir, name, template, value string) (Plan, error) {
	d, err := newData(name)
	if err != nil {
		return Plan{}, err
	}
	d.Value = fmt.Sprintf(value, d.Type)
	module, ok := findModule(dir)
	if !ok {
		return Plan{}, &Error{
			What: fmt.Sprintf("%s is in no Go module", shown(dir)),
			Fix:  "start with `rikki new app " + d.Name + "`, or type `go mod init NAME` first",
		}
	}
	pkg, err := packageOf(dir)
	if err != nil {
		return Plan{}, err
	}
	base := strings.ReplaceAll(d.Name, "-", "")
	if pkg == "main" {
		files, err := render(d, map[string]string{
			filepath.Join(dir, base+".go"):      template + ".go.tmpl",
			filepath.Join(dir, base+"_test.go"): template + "_test.go.tmpl",
		})
		return Plan{Files: files, Next: []string{
			"add " + d.Value + " to cli.Main in " + filepath.Join(dir, "main.go"),
			"go test " + goPath(dir),
			"go run " + goPath(dir) + " run " + d.Name + " --help",
		}}.tidied(module), err
	}
	d.Program = true
	own := filepath.Join(dir, d.Name)
	files, err := render(d, map[string]string{
		filepath.Join(own, "main.go"):      template + ".go.tmpl",
		filepath.Join(own, "main_test.go"): template + "_test.go.tmpl",
	})
	return Plan{Files: files, Next: []string{
		"go test " + goPath(own),
		"go run " + goPath(own) + " --help",
		"go run " + goPath(own) + " --embedded",
	}}.tidied(module), err
}

// App plans a module with a program, a first script and its test, in a new or empty directory dir.
func App(dir, module string) (Plan, error) {
	if !modulePath.MatchString(module) {
		return Plan{}, &Error{
			What: fmt.Sprintf("%q is not a module path", module),
			Fix:  "use something like example.com/scripts",
		}
	}
	d, err := newData("hello")
	if err != nil {
		return Plan{}, err
	}
	d.Module = module
	files, err := render(d, map[string]string{
		filepath.Join(dir, "go.mod"):        "go.mod.tmpl",
		filepath.Join(dir, "main.go"):       "main.go.tmpl",
		filepath.Join(dir, "hello.go"):      "script.go.tmpl",
		filepath.Join(dir, "hello_test.go"): "script_test.go.tmpl",
		filepath.Join(dir, ".gitignore"):    "gitignore.tmpl",
	})
	return Plan{Files: files, Next: []string{
		"cd " + dir,
		"go mod tidy",
		"go test ./...",
		"go run . list",
		"go run . run hello --embedded",
	}}, err
}

// tidied puts `go mod tidy` first where the module does not know Rikki yet.
func (p Plan) tidied(module string) Plan {
	if text, err := os.ReadFile(module); err != nil || !bytes.Contains(text, []byte("github.com/rikki-go/rikki")) {
		p.Next = append([]string{"go mod tidy"}, p.Next...)
	}
	return p
}

// Write writes the files of a plan. When a file exists already, or anything fails, nothing is left behind that was
// not there before, but for empty directories.
func (p Plan) Write() error {
	for _, f := range p.Files {
		if _, err := os.Lstat(f.Path); err == nil {
			return exists(f.Path)
		}
	}
	var written []string
	for _, f := range p.Files {
		if err := writeNew(f); err != nil {
			for _, path := range written {
				err = errors.Join(err, os.Remove(path))
			}
			return err
		}
		written = append(written, f.Path)
	}
	return nil
}

func exists(path string) error {
	return &Error{
		What: shown(path) + " exists already, and nothing is ever overwritten",
		Fix:  "choose another name, or move the file away",
		Err:  fs.ErrExist,
	}
}

// writeNew creates the file and nothing but a new file, even when another process creates it at this moment.
func writeNew(f File) (err error) {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o750); err != nil {
		return fmt.Errorf("create the directory of %s: %w", f.Path, err)
	}
	w, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // source code is for everybody to read
	if errors.Is(err, fs.ErrExist) {
		return exists(f.Path)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", f.Path, err)
	}
	_, err = w.Write(f.Data)
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", f.Path, err), os.Remove(f.Path))
	}
	return nil
}

// Names of these become directories that the go tool ignores or hides.
var reserved = []string{"internal", "testdata", "vendor"}

var (
	scriptName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	modulePath = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._~-]*(/[a-zA-Z0-9._~-]+)*$`)
)

func newData(name string) (data, error) {
	kebab := params.Kebab(name)
	if !scriptName.MatchString(kebab) || slices.Contains(reserved, kebab) || len(kebab) > 60 {
		return data{}, &Error{
			What: fmt.Sprintf("%q cannot be the name of a script", name),
			Fix:  "use lower-case words joined by dashes, such as lowercase-emails",
		}
	}
	var typ strings.Builder
	for word := range strings.SplitSeq(kebab, "-") {
		typ.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return data{Name: kebab, Type: typ.String(), Rename: params.Kebab(typ.String()) != kebab}, nil
}

func render(d data, files map[string]string) ([]File, error) {
	all, err := template.ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	out := make([]File, 0, len(files))
	for path, name := range files {
		var buf bytes.Buffer
		if err := all.ExecuteTemplate(&buf, name, d); err != nil {
			return nil, fmt.Errorf("fill in %s: %w", name, err)
		}
		text := buf.Bytes()
		if strings.HasSuffix(path, ".go") {
			if text, err = format.Source(text); err != nil {
				return nil, fmt.Errorf("format %s: %w", name, err)
			}
		}
		out = append(out, File{Path: path, Data: text})
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// packageOf returns the name of the package in dir, or "" when there is none.
func packageOf(dir string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", fmt.Errorf("look for Go files in %s: %w", dir, err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly)
		if err != nil {
			return "", &Error{What: "cannot read the package of " + shown(path), Fix: "make it compile first", Err: err}
		}
		return f.Name.Name, nil
	}
	return "", nil
}

// findModule looks for go.mod in dir and upwards.
func findModule(dir string) (string, bool) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for {
		path := filepath.Join(abs, "go.mod")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, true
		}
		up := filepath.Dir(abs)
		if up == abs {
			return "", false
		}
		abs = up
	}
}

// goPath is how the go tool wants a directory named.
func goPath(dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return "./" + strings.TrimPrefix(filepath.ToSlash(filepath.Clean(dir)), "./")
}

func shown(path string) string {
	if path == "." || path == "" {
		return "this directory"
	}
	return path
}
