package rikki

import (
	"runtime/debug"
	"sync"
)

// Source says which program executed a run.
type Source struct {
	Module   string `json:"module,omitempty"`   // main module's path
	Version  string `json:"version,omitempty"`  // main module's version
	Revision string `json:"revision,omitempty"` // version control's revision
	Modified bool   `json:"modified,omitempty"` // the work tree had changes
}

const modulePath = "github.com/rikki-go/rikki"

// Version returns the version of this module in the running program, or
// "(devel)".
func Version() string {
	_, version := buildSource()
	return version
}

var buildSource = sync.OnceValues(func() (Source, string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Source{}, "(devel)"
	}
	source := Source{Module: info.Main.Path, Version: info.Main.Version}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			source.Revision = setting.Value
		case "vcs.modified":
			source.Modified = setting.Value == "true"
		}
	}
	version := "(devel)"
	if info.Main.Path == modulePath && info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == modulePath {
			version = dep.Version
		}
	}
	return source, version
})
