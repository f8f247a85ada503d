package scaffold_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/scaffold"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func repo(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// goTool runs the go tool on generated code, offline: all that it needs is what the repository itself needs.
func goTool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// module makes dir a module with the requirements of the repository, which replaces the published version.
func module(t *testing.T, dir, path string) {
	t.Helper()
	text := read(t, filepath.Join(repo(t), "go.mod"))
	text = strings.Replace(text, "module github.com/rikki-go/rikki", "module "+path, 1)
	text += fmt.Sprintf("\nrequire github.com/rikki-go/rikki v0.0.0\n\nreplace github.com/rikki-go/rikki => %s\n", repo(t))
	write(t, filepath.Join(dir, "go.mod"), text)
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(repo(t), "go.sum")))
}

func TestGeneratedCode(t *testing.T) {
	t.Parallel()

	t.Run("AppCompilesWithASecondScript", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		plan, err := scaffold.App(dir, "example.com/scripts")
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Write(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(dir, "go.mod")); got != "module example.com/scripts\n\ngo 1.26\n" {
			t.Errorf("go.mod is %q", got)
		}
		script, err := scaffold.Script(dir, "copy-linux") // a name that must not become copy_linux.go
		if err != nil {
			t.Fatal(err)
		}
		if err := script.Write(); err != nil {
			t.Fatal(err)
		}
		main := filepath.Join(dir, "main.go")
		text := strings.Replace(read(t, main), "&Hello{},", "&Hello{},\n\t\t&CopyLinux{},", 1)
		write(t, main, text)
		module(t, dir, "example.com/scripts")
		goTool(t, dir, "vet", "./...")
	})

	t.Run("BackfillsCompileAndRun", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		module(t, dir, "example.com/other")
		own, err := scaffold.Backfill(dir, "lowercase-emails")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "scripts", "main.go"), "package main\n\nimport \"github.com/rikki-go/rikki/cli\"\n\nfunc main() { cli.Main() }\n")
		joined, err := scaffold.Backfill(filepath.Join(dir, "scripts"), "v2-emails") // a name that doesn't follow from its type
		if err != nil {
			t.Fatal(err)
		}
		for _, plan := range []scaffold.Plan{own, joined} {
			if err := plan.Write(); err != nil {
				t.Fatal(err)
			}
		}
		if want := "add backfill.New[V2EmailsDoc](&V2Emails{}) to cli.Main in "; !strings.HasPrefix(joined.Next[0], want) {
			t.Errorf("next: %q", joined.Next)
		}
		goTool(t, dir, "vet", "./...")
		goTool(t, dir, "test", "-count=1", "./...")
	})

	t.Run("ScriptCompilesAsAProgramOfItsOwn", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		module(t, dir, "example.com/other")
		write(t, filepath.Join(dir, "lib.go"), "package lib\n")
		plan, err := scaffold.Script(dir, "lowercase-emails")
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Write(); err != nil {
			t.Fatal(err)
		}
		goTool(t, dir, "vet", "./...")
	})
}

func TestScript(t *testing.T) {
	t.Parallel()

	t.Run("IsShort", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "go.mod"), "module m\n")
		plan, err := scaffold.Script(dir, "LowercaseEmails")
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range plan.Files {
			rel, err := filepath.Rel(dir, f.Path)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "--- %s\n%s", filepath.ToSlash(rel), f.Data)
		}
		for _, n := range plan.Next {
			fmt.Fprintf(&got, "next: %s\n", strings.ReplaceAll(n, dir, "DIR"))
		}
		path := filepath.Join("testdata", "script.txt")
		if *update {
			write(t, path, got.String())
		}
		if diff := cmp.Diff(read(t, path), got.String()); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("NextCommandsUseRelativePaths", func(t *testing.T) {
		t.Parallel()
		plan, err := scaffold.Script(".", "fix-names") // this directory is in the repository and holds a library
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"go test ./fix-names", "go run ./fix-names --help", "go run ./fix-names --embedded"}, plan.Next); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("BadNamesAreRefused", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"", "-", "a b", "../etc", "a/b", "1st", "vendor", "testdata", "é", strings.Repeat("a", 61), "x\x1b[2J"} {
			_, err := scaffold.Script(".", name)
			var problem *scaffold.Error
			if !errors.As(err, &problem) || problem.Fix == "" {
				t.Errorf("%q: err = %v", name, err)
			}
		}
		for _, module := range []string{"", "a b", "/x", "../x", "x\nreplace y => z"} {
			if _, err := scaffold.App(t.TempDir(), module); err == nil {
				t.Errorf("module %q is accepted", module)
			}
		}
	})

	t.Run("NeedsAModule", func(t *testing.T) {
		t.Parallel()
		_, err := scaffold.Script(t.TempDir(), "x")
		var problem *scaffold.Error
		if !errors.As(err, &problem) || !strings.Contains(problem.Fix, "rikki new app x") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestWrite(t *testing.T) {
	t.Parallel()

	t.Run("NothingIsOverwrittenNorWrittenWhenAFileExists", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "main.go"), "package main\n\nvar mine = 1\n")
		plan, err := scaffold.App(dir, "example.com/x")
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Write(); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "main.go") {
			t.Errorf("err = %v", err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || !strings.Contains(read(t, filepath.Join(dir, "main.go")), "mine") {
			t.Errorf("directory holds %v, %v", entries, err)
		}
	})

	t.Run("FailureHalfWayTakesItsFilesBack", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "file"), "")
		plan := scaffold.Plan{Files: []scaffold.File{
			{Path: filepath.Join(dir, "a.go"), Data: []byte("a")},
			{Path: filepath.Join(dir, "file", "b.go"), Data: []byte("b")}, // its directory is a file
		}}
		if err := plan.Write(); err == nil {
			t.Fatal("no error")
		}
		if _, err := os.Stat(filepath.Join(dir, "a.go")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a.go was left behind: %v", err)
		}
	})

	t.Run("LinkIsNotFollowed", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		target := filepath.Join(dir, "elsewhere")
		if err := os.Symlink(target, filepath.Join(dir, "a.go")); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
		plan := scaffold.Plan{Files: []scaffold.File{{Path: filepath.Join(dir, "a.go"), Data: []byte("a")}}}
		if err := plan.Write(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("err = %v", err)
		}
		if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the target was written: %v", err)
		}
	})
}
