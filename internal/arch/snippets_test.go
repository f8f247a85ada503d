package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rikki-go/rikki/internal/connlines"
)

// Docs show code by reference. A fenced block of Go stands below a marker that says where it comes from:
//
//	<!-- snippet: examples/quickstart/main.go#LowercaseEmails -->
//
// After # stands the name of a declaration, or of a region between `// snippet:NAME` and `// snippet:end`. Of an
// Example function only the body is shown. Without #, it is the whole file. A table of connection-related lines stands
// between two markers:
//
//	<!-- connlines: examples/ratelimits/before/main.go examples/ratelimits/init/main.go -->
//	<!-- end -->
var (
	fence     = regexp.MustCompile("(?ms)^(?:<!-- snippet: (\\S+) -->\n)?```go[^\n]*\n(.*?)^```$")
	connTable = regexp.MustCompile(`(?ms)^<!-- connlines: (\S+) (\S+) -->\n(.*?)^<!-- end -->$`)
)

func TestDocs(t *testing.T) {
	t.Parallel()

	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".md") || (strings.Contains(name, "/") && !strings.HasPrefix(name, "docs/") && !strings.HasPrefix(name, "examples/")) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(root, filepath.FromSlash(name))
			old := read(t, path)
			text, problems := refresh(root, old)
			for _, p := range problems {
				t.Error(p)
			}
			if *update && text != old {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(old, text); diff != "" {
				t.Errorf("the code moved on; run make docs (-docs +code):\n%s", diff)
			}
		})
	}
}

// refresh puts the present code into a document.
func refresh(dir, doc string) (text string, problems []string) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	text = fence.ReplaceAllStringFunc(doc, func(block string) string {
		m := fence.FindStringSubmatch(block)
		if m[1] == "" {
			first, _, _ := strings.Cut(m[2], "\n")
			complain("a block of Go has no snippet marker: %s", first)
			return block
		}
		code, err := snippet(dir, m[1])
		if err != nil {
			complain("%s: %v", m[1], err)
			return block
		}
		return "<!-- snippet: " + m[1] + " -->\n```go\n" + code + "```"
	})
	text = connTable.ReplaceAllStringFunc(text, func(block string) string {
		m := connTable.FindStringSubmatch(block)
		table, err := connlines.Compare(filepath.Join(dir, m[1]), filepath.Join(dir, m[2]))
		if err != nil {
			complain("%v", err)
			return block
		}
		return "<!-- connlines: " + m[1] + " " + m[2] + " -->\n" + table.Markdown() + "<!-- end -->"
	})
	return text, problems
}

func snippet(dir, ref string) (string, error) {
	path, name, named := strings.Cut(ref, "#")
	if !strings.HasSuffix(path, ".go") {
		return "", fmt.Errorf("%s is not a Go file, so nothing compiles it", path)
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		return "", err
	}
	if !named {
		return string(data), nil
	}
	if code, ok := region(string(data), name); ok {
		return code, nil
	}
	return declaration(path, data, name)
}

func region(src, name string) (string, bool) {
	var out []string
	in := false
	for line := range strings.Lines(src) {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "// snippet:"+name:
			in = true
		case in && trimmed == "// snippet:end":
			return dedent(out), true
		case in:
			out = append(out, line)
		}
	}
	return "", false
}

func declaration(path string, data []byte, name string) (string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, data, parser.ParseComments)
	if err != nil {
		return "", err
	}
	between := func(from, to token.Pos) []string {
		a, b := fset.Position(from).Offset, fset.Position(to).Offset
		return strings.SplitAfter(string(data[a:b]), "\n")
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name != name {
				continue
			}
			if strings.HasPrefix(name, "Example") {
				lines := between(d.Body.Lbrace+1, d.Body.Rbrace)
				return dedent(withoutOutput(lines)), nil
			}
			return dedent(between(start(d.Doc, d.Pos()), d.End())), nil
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name == name {
					return dedent(between(start(d.Doc, d.Pos()), d.End())), nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s has no declaration or region %q", path, name)
}

func start(doc *ast.CommentGroup, pos token.Pos) token.Pos {
	if doc != nil {
		return doc.Pos()
	}
	return pos
}

func withoutOutput(lines []string) []string {
	for i, l := range lines {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, "// Output:") || strings.HasPrefix(l, "// Unordered output:") {
			return lines[:i]
		}
	}
	return lines
}

// dedent removes the indentation that all lines share, and blank lines around.
func dedent(lines []string) string {
	text := strings.Trim(strings.Join(lines, ""), "\n")
	text = strings.TrimRight(text, "\t\n ")
	shared := -1
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if n := len(line) - len(strings.TrimLeft(line, "\t")); shared < 0 || n < shared {
			shared = n
		}
	}
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(line[min(len(line), max(shared, 0)):] + "\n")
	}
	return b.String()
}

func TestSnippet(t *testing.T) {
	t.Parallel()

	src := "package p\n\n// T is a type.\ntype T struct {\n\tA int\n}\n\nfunc Example() {\n\tx := 1\n\tif x > 0 {\n\t\t_ = x\n\t}\n\t// Output:\n\t// 1\n}\n\n" +
		"func f() {\n\t// snippet:part\n\ta := 1\n\t// snippet:end\n\t_ = a\n}\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := func(ref, code string) string {
		return "# T\n\n<!-- snippet: " + ref + " -->\n```go\n" + code + "```\n\nEnd.\n"
	}

	for ref, want := range map[string]string{
		"p.go":         src,
		"p.go#T":       "// T is a type.\ntype T struct {\n\tA int\n}\n",
		"p.go#Example": "x := 1\nif x > 0 {\n\t_ = x\n}\n",
		"p.go#part":    "a := 1\n",
	} {
		t.Run("Refreshes/"+ref, func(t *testing.T) {
			t.Parallel()
			got, problems := refresh(dir, doc(ref, "old := code\n"))
			if len(problems) > 0 {
				t.Error(problems)
			}
			if diff := cmp.Diff(doc(ref, want), got); diff != "" {
				t.Error(diff)
			}
			if again, _ := refresh(dir, got); again != got {
				t.Error("a second time changes it again")
			}
		})
	}

	for name, text := range map[string]string{
		"GoWithoutMarker":    "```go\nx := 1\n```\n",
		"UnknownDeclaration": doc("p.go#Missing", ""),
		"MissingFile":        doc("q.go", ""),
		"NotGo":              doc("p.txt", ""),
	} {
		t.Run("Complains/"+name, func(t *testing.T) {
			t.Parallel()
			got, problems := refresh(dir, text)
			if len(problems) != 1 || got != text {
				t.Errorf("problems %q, text %q", problems, got)
			}
		})
	}

	t.Run("OtherLanguagesAreLeftAlone", func(t *testing.T) {
		t.Parallel()
		text := "```sh\ngo test ./...\n```\n"
		if got, problems := refresh(dir, text); got != text || len(problems) > 0 {
			t.Errorf("got %q, %q", got, problems)
		}
	})
}
