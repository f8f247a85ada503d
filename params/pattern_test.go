//go:build !race

package params

import (
	"math/big"
	"regexp"
	"strconv"
	"testing"
)

func TestIntPatternMatchesItsRangeOnly(t *testing.T) {
	t.Parallel()
	g := newGenerator(t)
	for range 300 {
		low, high := g.Int64N(3000)-1500, g.Int64N(3000)-1500
		low, high = min(low, high), max(low, high)
		re := regexp.MustCompile(intPattern(big.NewInt(low), big.NewInt(high)))
		for i := int64(-1600); i <= 1600; i++ {
			if got, want := re.MatchString(strconv.FormatInt(i, 10)), i >= low && i <= high; got != want {
				t.Fatalf("%d within %d to %d: got %v, want %v, by %s", i, low, high, got, want, re)
			}
		}
		for _, odd := range []string{"", "-0", "00", "+1", "01", " 1", "1.0"} {
			if re.MatchString(odd) {
				t.Fatalf("%q passes %s", odd, re)
			}
		}
	}
}
