package arch_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// storey says how high a package lives. An import goes to a lower storey; only leaves may also use each other.
var storey = map[string]int{
	"internal/arch": leaf, "internal/bsondiff": leaf, "internal/canary": leaf, "internal/child": leaf, "internal/audit": leaf, "internal/chunk": leaf, "internal/connlines": leaf, "internal/journal": leaf,
	"internal/commands": leaf, "internal/extjson": leaf, "internal/lease": leaf, "internal/locked": leaf, "internal/occurrence": leaf, "internal/pace": leaf, "internal/plain": leaf, "internal/rawbson": leaf, "internal/redact": leaf,
	"internal/service": leaf, "internal/store": leaf, "internal/term": leaf, "internal/point": leaf, "internal/faults": leaf,
	"conn": base, "params": base, "preview": base, "embedded": base,
	"internal/yamlfile": aboveBase, "internal/scaffold": aboveBase, "internal/mongotest": aboveBase, "internal/faultrig": aboveMongotest,
	".":        core,
	"backfill": feature, "migrate": feature, "schedule": feature, "notify": feature, "jsonconfig": feature, "model": feature,
	"rikkitest": feature,
	"dashboard": door, "telemetry": door,
	"cli": cli,
}

const (
	leaf = iota
	base
	aboveBase
	aboveMongotest
	core
	feature
	door
	cli
	example // what the programs of one example share
	program
)

// storeyOf knows the packages above, those below them, and programs.
func storeyOf(p pkg) (int, bool) {
	if p.Name == "main" {
		return program, true
	}
	rel := p.rel()
	for {
		if s, ok := storey[rel]; ok && (rel != "." || p.rel() == ".") {
			return s, true
		}
		i := strings.LastIndexByte(rel, '/')
		if i < 0 {
			return example, strings.HasPrefix(p.rel(), "examples/")
		}
		rel = rel[:i]
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()

	pkgs := goList(t, "./...")
	all := map[string]pkg{}
	for _, p := range pkgs {
		all[p.ImportPath] = p
	}

	t.Run("EveryPackageHasAStorey", func(t *testing.T) {
		t.Parallel()
		for _, p := range pkgs {
			if _, ok := storeyOf(p); !ok {
				t.Errorf("%s is not in the table of storeys: decide where it lives", p.rel())
			}
		}
	})

	t.Run("ArrowsGoDownOnly", func(t *testing.T) {
		t.Parallel()
		for _, p := range pkgs {
			from, _ := storeyOf(p)
			for _, path := range p.Imports {
				q, ok := all[path]
				if !ok || strings.HasPrefix(q.rel(), p.rel()+"/") {
					continue
				}
				to, _ := storeyOf(q)
				if to > from || (to == from && from != leaf) {
					t.Errorf("%s imports %s, which lives as high or higher", p.rel(), q.rel())
				}
			}
		}
	})

	t.Run("DoorsAndFeaturesKeepToTheExportedFace", func(t *testing.T) {
		t.Parallel()
		for _, p := range pkgs {
			if s, _ := storeyOf(p); s < door {
				continue
			}
			for _, private := range []string{"internal/store", "internal/lease", "internal/chunk"} {
				if slices.Contains(p.Imports, module+"/"+private) {
					t.Errorf("%s imports %s: what it needs belongs into the exported face of the root", p.rel(), private)
				}
			}
		}
	})

	t.Run("EmbeddedServesOtherProgramsToo", func(t *testing.T) {
		t.Parallel()
		allowed := []string{"github.com/gofrs/flock", "go.mongodb.org/mongo-driver/v2", "golang.org/x/sys", module + "/internal/redact", module + "/embedded"}
		for _, path := range all[module+"/embedded"].Imports {
			ok := !strings.Contains(strings.Split(path, "/")[0], ".")
			for _, a := range allowed {
				ok = ok || path == a || strings.HasPrefix(path, a+"/")
			}
			if !ok {
				t.Errorf("embedded imports %s", path)
			}
		}
	})
}

func TestTestSupportStaysOutOfProduction(t *testing.T) {
	t.Parallel()

	support := []string{"testing", "github.com/google/go-cmp/cmp", "go.uber.org/goleak", module + "/internal/mongotest", module + "/internal/faultrig", module + "/rikkitest"}
	exempt := []string{"internal/mongotest", "rikkitest", "internal/faultrig"}
	checked := 0
	for _, p := range goList(t, "./...") {
		if slices.Contains(exempt, p.rel()) || strings.HasSuffix(p.rel(), "test") || p.rel() == "internal/arch" {
			continue
		}
		checked++
		for _, s := range support {
			if slices.Contains(p.Deps, s) {
				t.Errorf("%s links %s", p.rel(), s)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages were checked", checked)
	}
}

// maxModules is the budget of the root package: the driver with what it needs, and no more than two of our own choice.
const maxModules = 12

func TestBudget(t *testing.T) {
	t.Parallel()

	modules := map[string]bool{}
	for _, p := range goList(t, "-deps", ".") {
		if p.Module != nil && p.Module.Path != module {
			modules[p.Module.Path] = true
		}
	}
	list := strings.Join(slices.Sorted(maps.Keys(modules)), "\n  ")
	t.Logf("the root package links %d modules:\n  %s", len(modules), list)
	if len(modules) == 0 || len(modules) > maxModules {
		t.Errorf("the root package links %d modules, the budget is %d:\n  %s", len(modules), maxModules, list)
	}
}
