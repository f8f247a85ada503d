package params

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

// maxExponent bounds what a number may stand for: no Go integer has more digits, and a huge power of ten takes long.
const maxExponent = 40

func (n *node) setInt(v reflect.Value, raw any) *flaw {
	const want = "a whole number such as 500, 10k or 1_000_000"
	var i *big.Int
	var ok bool
	switch x := raw.(type) {
	case json.Number:
		i, ok = exactInt(string(x))
	case string:
		// JavaScript cannot hold a 64-bit number, so a string of digits stands for it; nothing looser.
		if canonicalInt(x) {
			i, ok = new(big.Int).SetString(x, 10)
		}
	case text:
		i, ok = humanInt(string(x))
	}
	if !ok {
		return n.wrong(raw, want)
	}
	switch {
	case n.kind == Int && i.IsInt64() && !v.OverflowInt(i.Int64()):
		v.SetInt(i.Int64())
	case n.kind == Uint && i.IsUint64() && !v.OverflowUint(i.Uint64()):
		v.SetUint(i.Uint64())
	default:
		low, high := intRange(n.typ)
		f := flawf("%s does not fit: the range is %s to %s", n.show(raw), low, high)
		f.allowed = low.String() + " to " + high.String()
		return f
	}
	return nil
}

// intRange returns the least and the greatest value of an integer type.
func intRange(t reflect.Type) (low, high *big.Int) {
	one := big.NewInt(1)
	switch t.Kind() {
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		high = new(big.Int).Lsh(one, uint(t.Bits()))
		return new(big.Int), high.Sub(high, one)
	default:
		high = new(big.Int).Lsh(one, uint(t.Bits()-1))
		return new(big.Int).Neg(high), new(big.Int).Sub(high, one)
	}
}

// canonicalInt tells whether s is a whole number as programs write it.
func canonicalInt(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > maxExponent || digits[0] == '0' && s != "0" {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

// exactInt reads a number without a detour over float64; 1e3 and 5.0 are whole.
func exactInt(s string) (*big.Int, bool) { return scaled(s, 0) }

// humanInt reads a whole number as a person writes it: 10k, 1.5M, 1_000_000.
func humanInt(s string) (*big.Int, bool) {
	s, power := human(s)
	return scaled(s, power)
}

// humanFloat rewrites a person's number so that [strconv.ParseFloat] reads it.
func humanFloat(s string) string {
	s, power := human(s)
	if power == 0 || strings.ContainsAny(s, "eE") {
		return s
	}
	return s + "e" + strconv.Itoa(power)
}

// human drops the underscores between digits and splits off a suffix; the power is the suffix's.
func human(s string) (string, int) {
	if strings.IndexByte(s, '_') >= 0 {
		for i := range len(s) {
			if s[i] == '_' && (i == 0 || i == len(s)-1 || !digit(s[i-1]) || !digit(s[i+1])) {
				return "", 0
			}
		}
		s = strings.ReplaceAll(s, "_", "")
	}
	if s == "" || strings.ContainsAny(s, "eE") {
		return s, 0
	}
	power := strings.IndexByte("kMGT", s[len(s)-1])
	if s[len(s)-1] == 'K' {
		power = 0
	}
	if power < 0 {
		return s, 0
	}
	return s[:len(s)-1], 3 * (power + 1)
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

// scaled returns s times ten to the power, if s is a decimal number and the product whole.
func scaled(s string, power int) (*big.Int, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && power == 0 {
		return big.NewInt(i), true
	}
	if len(s) > MaxValue {
		return nil, false
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > math.MaxInt32 || e < math.MinInt32 {
			return nil, false
		}
		mantissa, exponent = s[:i], e
	}
	sign := ""
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		sign, mantissa = mantissa[:1], mantissa[1:]
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits := whole + frac
	if whole == "" || strings.Trim(digits, "0123456789") != "" {
		return nil, false
	}
	exponent += power - len(frac)
	// Zeros at either end change nothing but the exponent.
	digits = strings.TrimLeft(digits, "0")
	for strings.HasSuffix(digits, "0") {
		digits, exponent = digits[:len(digits)-1], exponent+1
	}
	if digits == "" {
		return new(big.Int), true
	}
	if exponent < 0 || exponent > maxExponent || len(digits) > maxExponent {
		return nil, false
	}
	return new(big.Int).SetString(sign+digits+strings.Repeat("0", exponent), 10)
}
