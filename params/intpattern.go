package params

import (
	"fmt"
	"math/big"
	"strings"
)

// intPattern returns a regular expression for the whole numbers from low to high, as [canonicalInt] knows them.
func intPattern(low, high *big.Int) string {
	zero, one := new(big.Int), big.NewInt(1)
	var parts []string
	if low.Sign() < 0 {
		from := one
		if high.Sign() < 0 {
			from = new(big.Int).Neg(high)
		}
		parts = append(parts, "-("+strings.Join(positive(from, new(big.Int).Neg(low)), "|")+")")
	}
	if low.Sign() <= 0 && high.Sign() >= 0 {
		parts = append(parts, "0")
	}
	if high.Cmp(zero) > 0 {
		from := one
		if low.Sign() > 0 {
			from = low
		}
		parts = append(parts, positive(from, high)...)
	}
	return "^(" + strings.Join(parts, "|") + ")$"
}

// positive lists expressions for the numbers from low to high, both above zero.
func positive(low, high *big.Int) []string {
	a, b := low.String(), high.String()
	if len(a) == len(b) {
		return []string{sameLength(a, b)}
	}
	var parts []string
	from, to := len(a), len(b)-2
	if a == "1"+strings.Repeat("0", len(a)-1) {
		from--
	} else {
		parts = append(parts, sameLength(a, strings.Repeat("9", len(a))))
	}
	// All numbers with a count of digits in between, in one expression.
	if from <= to {
		parts = append(parts, fmt.Sprintf("[1-9][0-9]{%d,%d}", from, to))
	}
	return append(parts, sameLength("1"+strings.Repeat("0", len(b)-1), b))
}

// sameLength returns an expression for the numbers from a to b, which have the same count of digits.
func sameLength(a, b string) string {
	n := len(a)
	switch {
	case n == 0:
		return ""
	case strings.Trim(a, "0") == "" && strings.Trim(b, "9") == "":
		return digits("0", "9", n)
	case a[0] == b[0]:
		return a[:1] + sameLength(a[1:], b[1:])
	}
	var parts []string
	first, last := a[0], b[0]
	if strings.Trim(a[1:], "0") != "" {
		parts = append(parts, a[:1]+sameLength(a[1:], strings.Repeat("9", n-1)))
		first++
	}
	end := ""
	if strings.Trim(b[1:], "9") != "" {
		end = b[:1] + sameLength(strings.Repeat("0", n-1), b[1:])
		last--
	}
	if first <= last {
		parts = append(parts, digits(string(rune(first)), string(rune(last)), 1)+digits("0", "9", n-1))
	}
	if end != "" {
		parts = append(parts, end)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, "|") + ")"
}

// digits returns an expression for n digits from first to last.
func digits(first, last string, n int) string {
	class := "[" + first + "-" + last + "]"
	switch {
	case n == 0:
		return ""
	case first == last:
		class = first
	}
	if n == 1 {
		return class
	}
	return fmt.Sprintf("%s{%d}", class, n)
}
