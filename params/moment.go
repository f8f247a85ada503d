package params

import (
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// parseDuration reads 90s, 1h30m, 2d, 1w and whole milliseconds.
func parseDuration(s string) (time.Duration, bool) {
	rest, negative := strings.CutPrefix(s, "-")
	if !negative {
		rest = strings.TrimPrefix(rest, "+")
	}
	if rest != "" && strings.Trim(rest, "0123456789") == "" {
		ms, err := strconv.ParseInt(s, 10, 64)
		const most = math.MaxInt64 / int64(time.Millisecond)
		return time.Duration(ms) * time.Millisecond, err == nil && ms <= most && ms >= -most
	}
	// The sum runs below zero, where there is room for one more nanosecond: the least duration is a value too.
	var sum time.Duration
	for rest != "" {
		part, after, ok := durationPart(rest)
		if !ok || sum < math.MinInt64-part {
			return 0, false
		}
		sum, rest = sum+part, after
	}
	if negative {
		return sum, s != "-"
	}
	return -sum, sum != math.MinInt64 && s != "" && s != "+"
}

// durationPart reads one number with its unit and returns it negated.
func durationPart(s string) (part time.Duration, rest string, ok bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end <= 0 {
		return 0, "", false
	}
	number := s[:end]
	whole, frac, dot := strings.Cut(number, ".")
	if whole == "" || dot && (frac == "" || strings.Contains(frac, ".")) {
		return 0, "", false
	}
	unit := s[end:]
	if i := strings.IndexFunc(unit, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' }); i >= 0 {
		unit = unit[:i]
	}
	rest = s[end+len(unit):]
	factor := int64(1)
	switch unit {
	case "d":
		unit, factor = "h", 24
	case "w":
		unit, factor = "h", 7*24
	}
	d, err := time.ParseDuration("-" + number + unit)
	if err != nil || int64(d) < math.MinInt64/factor {
		return 0, "", false
	}
	return time.Duration(int64(d) * factor), rest, true
}

// parseTime reads an absolute or relative time; what carries no zone is UTC.
func parseTime(s string, now time.Time) (time.Time, bool) {
	var t time.Time
	switch {
	case s == "now":
		t = now
	case s == "":
		return t, false
	case s[0] == '-' || s[0] == '+':
		d, ok := parseDuration(s)
		if last := s[len(s)-1]; !ok || digit(last) {
			return t, false // a bare number of milliseconds is a slip, not a moment
		}
		t = now.Add(d)
	default:
		layout := timeLayout(s)
		parsed, err := time.Parse(layout, s)
		if layout == "" || err != nil {
			return t, false
		}
		t = parsed
	}
	// Round drops the monotonic reading, which no surface can carry.
	t = t.UTC().Round(0)
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// timeLayout returns the layout that the shape of s calls for. Package time alone would let 5:04 pass for 05:04.
func timeLayout(s string) string {
	var shape strings.Builder
	for i := range min(len(s), 19) {
		if digit(s[i]) {
			shape.WriteByte('0')
		} else {
			shape.WriteByte(s[i])
		}
	}
	switch shape.String() {
	case "0000-00-00":
		return time.DateOnly
	case "0000-00-00T00:00":
		return "2006-01-02T15:04"
	case "0000-00-00T00:00:00":
	default:
		return ""
	}
	rest := s[19:]
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimLeft(rest[1:], "0123456789")
	}
	if rest == "" {
		return "2006-01-02T15:04:05"
	}
	return time.RFC3339Nano
}

// parseUUID reads a UUID; the empty text is the zero value, no UUID at all.
func parseUUID(s string) (bson.Binary, error) {
	if s == "" {
		return bson.Binary{}, nil
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return bson.Binary{}, errors.New("params: not a UUID")
	}
	data, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(data) != 16 {
		return bson.Binary{}, errors.New("params: not a UUID")
	}
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: data}, nil
}

func writeUUID(b bson.Binary) (string, error) {
	if b.IsZero() {
		return "", nil
	}
	if b.Subtype != bson.TypeBinaryUUID || len(b.Data) != 16 {
		return "", errors.New("params: the binary value is not a UUID")
	}
	h := hex.EncodeToString(b.Data)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}
