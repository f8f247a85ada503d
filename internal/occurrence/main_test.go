package occurrence

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plan(t testing.TB, def Definition) *Plan {
	t.Helper()
	p, err := Parse(def)
	if err != nil {
		t.Fatalf("Parse(%+v): %v", def, err)
	}
	return p
}

func instantOf(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// zoned formats slots in the plan's zone.
func zoned(p *Plan, slots []time.Time) []string {
	var list []string
	for _, s := range slots {
		list = append(list, s.In(p.loc).Format("2006-01-02 15:04:05 MST"))
	}
	return list
}
