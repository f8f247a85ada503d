package cli

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// projectRoot returns the nearest directory upward that has a go.mod or a .git.
func projectRoot(dir string) (string, bool) {
	for {
		for _, mark := range []string{"go.mod", ".git"} {
			if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
				return dir, true
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// embeddedDir is where the embedded server of the current project keeps its data: with the project or, outside of
// any, with the user.
func (p *program) embeddedDir() (string, error) {
	if root, ok := projectRoot(workDir()); ok {
		return filepath.Join(root, ".rikki", "mongod"), nil
	}
	if data := p.env.Get("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "rikki", p.name, "mongod"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &problemError{
			What: "no place for the data of the embedded MongoDB", Why: err.Error(), Code: ExitUnreachable,
			Fix: "run inside a Go module or a git repository, or set HOME", Err: err,
		}
	}
	return filepath.Join(home, ".local", "share", "rikki", p.name, "mongod"), nil
}

// ignore keeps git away from the directory above the data.
func ignore(dataDir string) error {
	dir := filepath.Dir(dataDir)
	if filepath.Base(dir) != ".rikki" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte("# Data of the embedded MongoDB. It is safe to delete while no program uses it.\n*\n"), 0o600)
}

// relative shortens a path to what it is from here, where that is shorter.
func relative(path string) string {
	if rel, err := filepath.Rel(workDir(), path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// madeByGoRun tells whether the program's file is a temporary one of the go command.
func madeByGoRun(self string) bool {
	slashed := filepath.ToSlash(self)
	return strings.Contains(slashed, "/go-build") && strings.Contains(slashed, "/exe/")
}

// goRunCommand is the `go run` that made this program, as typed from the current directory, or the fallback.
func goRunCommand(fallback string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok || !strings.HasPrefix(info.Path, info.Main.Path) {
		return fallback
	}
	root, ok := projectRoot(workDir())
	if !ok {
		return fallback
	}
	dir := filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(info.Path, info.Main.Path)))
	if _, err := os.Stat(dir); err != nil {
		return fallback
	}
	rel, err := filepath.Rel(workDir(), dir)
	if err != nil {
		return fallback
	}
	if rel = filepath.ToSlash(rel); rel != "." && !strings.HasPrefix(rel, ".") {
		rel = "./" + rel
	}
	return "go run " + rel
}
