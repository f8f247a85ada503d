//go:build !race

package backfill

import (
	"encoding/json"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
)

// heap is how much of it is held.
func heap() int {
	var stats runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// spelled is another word for each number, without digits.
func spelled(n int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprintf("%08d", n))
}

// However many kinds of failures there are, with whatever keys, few groups are made of them, and little memory is taken.
func TestGroupsAreBounded(t *testing.T) {
	const n = 6000
	long := json.RawMessage(`"` + strings.Repeat("k", 8<<10) + `"`)
	for name, c := range map[string]struct {
		failure func(i int) Failure
		groups  int
		first   string
		count   int64
		sample  int // keys of the first group
		heap    int // bytes at most
	}{
		"Messages": {
			failure: func(i int) Failure {
				return Failure{Class: "error", Message: "no " + spelled(i), ID: json.RawMessage("1")}
			},
			groups: maxGroups + 1, first: "other messages", count: n - maxGroups, sample: sampleKeys, heap: 1 << 20,
		},
		"Numbers": {
			failure: func(i int) Failure {
				return Failure{Class: "error", Message: fmt.Sprintf("no %d", i), ID: json.RawMessage("1")}
			},
			groups: 1, first: "no 0", count: n, sample: sampleKeys, heap: 1 << 20,
		},
		"Classes": {
			failure: func(i int) Failure { return Failure{Class: spelled(i), Message: "no", ID: json.RawMessage("1")} },
			groups:  2*maxGroups + 1, first: "other messages", count: n - 2*maxGroups, sample: sampleKeys, heap: 1 << 20,
		},
		"LongKeys": {
			failure: func(i int) Failure {
				return Failure{Class: "error", Message: strings.Repeat("x", 2<<10) + spelled(i), ID: append(json.RawMessage(nil), long...)}
			},
			groups: 1, first: strings.Repeat("x", 2<<10) + spelled(0), count: n, sample: 1, heap: 1 << 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, most := heap(), 0
			var failures iter.Seq2[Failure, error] = func(yield func(Failure, error) bool) {
				for i := range n {
					if i%(n/10) == n/10-1 {
						most = max(most, heap()-before)
					}
					if !yield(c.failure(i), nil) {
						return
					}
				}
			}
			groups, err := groupsOf(failures)
			if err != nil || len(groups) != c.groups || groups[0].Message != c.first || groups[0].Count != c.count || len(groups[0].Sample) != c.sample {
				t.Errorf("%d groups, the first %+v, %v", len(groups), groups[0], err)
			}
			if most > c.heap {
				t.Errorf("%d KiB of heap", most>>10)
			}
		})
	}
}
