package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rikki-go/rikki/internal/connlines"
)

// A Language is one that scripts are written in.
type Language string

// The languages.
const (
	Go         Language = "go"
	JavaScript Language = "javascript" // and TypeScript
	Shell      Language = "shell"
)

// Fix says what to do about scripts of the language.
func (l Language) Fix() string {
	switch l {
	case Go:
		return "make the work a rikki.Script: Execute gets the database from run.DB(), and nothing connects, pings or disconnects"
	case JavaScript:
		return "run it unchanged for now: rikki exec -- node FILE. Then port its work to a rikki.Script, which gets the database from run.DB()"
	default:
		return "run it unchanged for now: rikki exec -- sh FILE, with the address from $MONGODB_URI. Then port its work to a rikki.Script"
	}
}

// Finding is one place that connects.
type Finding struct {
	Line   int    `json:"line"`
	Column int    `json:"column"` // in bytes, from 1
	Call   string `json:"call"`   // what it calls: mongo.Connect
}

// File is a file that connects.
type File struct {
	Path     string    `json:"path"` // below the directory, with slashes
	Language Language  `json:"language"`
	Findings []Finding `json:"findings"`
	// CodeLines has what is neither blank nor a comment; ConnectionLines are those of them that are about the
	// connection.
	CodeLines       int `json:"code_lines"`
	ConnectionLines int `json:"connection_lines"`
}

// Problem is a file that could not be read as what it seems to be.
type Problem struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Report is what there is in a directory.
type Report struct {
	Scanned  int       `json:"scanned"` // scripts looked at
	Files    []File    `json:"files"`
	Problems []Problem `json:"problems,omitempty"`
}

// Findings counts the places.
func (r Report) Findings() int {
	n := 0
	for _, f := range r.Files {
		n += len(f.Findings)
	}
	return n
}

// Lines counts the lines of code of the files that connect, and those about the connection.
func (r Report) Lines() (code, connection int) {
	for _, f := range r.Files {
		code += f.CodeLines
		connection += f.ConnectionLines
	}
	return code, connection
}

// maxSize leaves bundles and data out: nobody wrote a script of that size.
const maxSize = 2 << 20

// Scan looks at a directory and all below it, or at one file. Files are listed by name.
func Scan(ctx context.Context, path string) (Report, error) {
	report := Report{Files: []File{}}
	info, err := os.Stat(path)
	if err != nil {
		return report, err
	}
	if !info.IsDir() {
		return report, report.add(filepath.Dir(path), filepath.Base(path))
	}
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, relErr := filepath.Rel(path, name)
		switch {
		case relErr != nil:
			return relErr
		case err != nil:
			report.problem(rel, err)
			return nil
		case entry.IsDir():
			if rel != "." && skipDir(entry.Name()) {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular() || isTest(entry.Name()):
			return nil
		}
		return report.add(path, rel)
	})
	slices.SortFunc(report.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return report, err
}

func skipDir(name string) bool {
	switch name {
	case "node_modules", "vendor", "testdata", "dist", "__tests__", "__mocks__":
		return true
	}
	return strings.HasPrefix(name, ".")
}

func isTest(name string) bool {
	if strings.HasSuffix(name, "_test.go") || strings.Contains(name, ".min.") {
		return true
	}
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	return strings.HasSuffix(stem, ".test") || strings.HasSuffix(stem, ".spec") || strings.HasSuffix(stem, ".d")
}

func (r *Report) problem(rel string, err error) {
	r.Problems = append(r.Problems, Problem{Path: filepath.ToSlash(rel), Message: err.Error()})
}

// add looks at one file.
func (r *Report) add(dir, rel string) error {
	path := filepath.Join(dir, rel)
	language, ok := languageOf(path)
	if !ok {
		return nil
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxSize {
		return nil
	}
	src, err := os.ReadFile(path)
	if err != nil {
		r.problem(rel, err)
		return nil // it is in the report
	}
	r.Scanned++
	file := File{Path: filepath.ToSlash(rel), Language: language}
	switch language {
	case Go:
		file.Findings, err = goFindings(path, src)
	case JavaScript:
		file.Findings = jsFindings(src)
	case Shell:
		file.Findings = shellFindings(src)
	}
	if err != nil {
		r.problem(rel, err)
		return nil // it is in the report
	}
	if len(file.Findings) == 0 {
		return nil
	}
	slices.SortFunc(file.Findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	if err := file.count(path, src); err != nil {
		return fmt.Errorf("audit %s: %w", rel, err)
	}
	r.Files = append(r.Files, file)
	return nil
}

// count fills in the lines.
func (f *File) count(path string, src []byte) error {
	ext := filepath.Ext(path)
	if f.Language == Shell || ext == "" {
		lines := map[int]bool{}
		for _, finding := range f.Findings {
			lines[finding.Line] = true
		}
		f.ConnectionLines = len(lines)
		for line := range bytes.Lines(src) {
			if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' {
				f.CodeLines++
			}
		}
		return nil
	}
	c, err := connlines.File(path)
	f.CodeLines, f.ConnectionLines = c.Code, c.Connection
	return err
}

// languageOf goes by the file's name or, where that says nothing, by its first line.
func languageOf(path string) (Language, bool) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".go":
		return Go, true
	case ".js", ".mjs", ".cjs", ".ts":
		return JavaScript, true
	case ".sh", ".bash", ".zsh", ".ksh":
		return Shell, true
	case "":
		return interpreterOf(path)
	}
	return "", false
}

func interpreterOf(path string) (Language, bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }() // it was only read
	head := make([]byte, 128)
	n, _ := f.Read(head) // a file that can't be read is no script
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(words) == 0 {
		return "", false
	}
	program := filepath.Base(words[0])
	if program == "env" && len(words) > 1 {
		program = filepath.Base(words[len(words)-1])
	}
	switch program {
	case "sh", "bash", "dash", "zsh", "ksh":
		return Shell, true
	case "node", "mongosh", "mongo":
		return JavaScript, true
	}
	return "", false
}
