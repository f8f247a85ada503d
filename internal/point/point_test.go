package point_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/point"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReached(t *testing.T) { //nolint:paralleltest // there is one hook
	var outer, inner []string
	point.Reached("nobody.listens")
	undo := point.Hook(func(name string) { outer = append(outer, name) })
	point.Reached("a.b")
	undoInner := point.Hook(func(name string) { inner = append(inner, name) })
	point.Reached("c.d")
	undoInner()
	point.Reached("e.f")
	undo()
	point.Reached("nobody.listens")
	if !slices.Equal(outer, []string{"a.b", "e.f"}) || !slices.Equal(inner, []string{"c.d"}) {
		t.Errorf("outer %q, inner %q", outer, inner)
	}
}

func TestAPointCostsNothing(t *testing.T) { //nolint:paralleltest // counts allocations
	if n := testing.AllocsPerRun(100, func() { point.Reached("a.b") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReached(b *testing.B) {
	for b.Loop() {
		point.Reached("a.b")
	}
}
