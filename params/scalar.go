package params

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/redact"
)

// flaw is what is wrong with one value; who knows the place makes a [Problem] of it.
type flaw struct{ message, allowed, suggestion string }

func flawf(format string, args ...any) *flaw { return &flaw{message: fmt.Sprintf(format, args...)} }

// scalar decodes a raw value of a scalar kind. Rules are not its business.
func (n *node) scalar(raw any, now time.Time) (reflect.Value, *flaw) {
	if f := clean(raw); f != nil {
		return reflect.Value{}, f
	}
	v := reflect.New(n.typ).Elem()
	var f *flaw
	switch n.kind {
	case String:
		f = n.setString(v, raw)
	case Bool:
		f = n.setBool(v, raw)
	case Int, Uint:
		f = n.setInt(v, raw)
	case Float:
		f = n.setFloat(v, raw)
	case Duration:
		f = n.setDuration(v, raw)
	case Time:
		f = n.setTime(v, raw, now)
	case ObjectID, Decimal, UUID, Text:
		f = n.setText(v, raw)
	case Invalid, List, Map, Struct:
		f = flawf("is no single value")
	}
	return v, f
}

// clean refuses text that not every surface can carry.
func clean(raw any) *flaw {
	s, ok := plainText(raw)
	switch {
	case !ok:
		return nil
	case len(s) > MaxValue:
		return flawf("has %s; one value may have %s", size(len(s)), size(MaxValue))
	case !utf8.ValidString(s):
		return flawf("%s is not valid UTF-8", quote(s))
	case strings.IndexByte(s, 0) >= 0:
		return flawf("%s contains a NUL byte", quote(s))
	}
	return nil
}

// plainText returns the text of a raw value that is text, a person's or JSON's.
func plainText(raw any) (string, bool) {
	switch s := raw.(type) {
	case text:
		return string(s), true
	case string:
		return s, true
	}
	return "", false
}

func (n *node) setString(v reflect.Value, raw any) *flaw {
	s, ok := plainText(raw)
	if !ok {
		return n.wrong(raw, "a string")
	}
	v.SetString(s)
	return nil
}

func (n *node) setBool(v reflect.Value, raw any) *flaw {
	switch b := raw.(type) {
	case bool:
		v.SetBool(b)
		return nil
	case text:
		switch strings.ToLower(string(b)) {
		case "true", "yes", "on", "1":
			v.SetBool(true)
			return nil
		case "false", "no", "off", "0":
			return nil
		}
	}
	return n.wrong(raw, "true or false")
}

func (n *node) setFloat(v reflect.Value, raw any) *flaw {
	var s string
	switch x := raw.(type) {
	case json.Number:
		s = string(x)
	case text:
		s = humanFloat(string(x))
	}
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" {
		return n.wrong(raw, "a number such as 0.5 or 10k")
	}
	f, err := strconv.ParseFloat(s, n.typ.Bits())
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return n.wrong(raw, "a number that fits "+n.typ.Kind().String())
		}
		return n.wrong(raw, "a number such as 0.5 or 10k")
	}
	v.SetFloat(f)
	return nil
}

func (n *node) setDuration(v reflect.Value, raw any) *flaw {
	const want = "a duration such as 90s, 1h30m, 2d or 60000 (milliseconds)"
	s, ok := plainText(raw)
	if num, isNumber := raw.(json.Number); isNumber {
		i, exact := exactInt(string(num))
		if !exact || !i.IsInt64() {
			return n.wrong(raw, want)
		}
		s, ok = i.String(), true
	}
	if !ok {
		return n.wrong(raw, want)
	}
	d, ok := parseDuration(s)
	if !ok {
		return n.wrong(raw, want)
	}
	v.SetInt(int64(d))
	return nil
}

func (n *node) setTime(v reflect.Value, raw any, now time.Time) *flaw {
	if s, ok := plainText(raw); ok {
		if t, ok := parseTime(s, now); ok {
			v.Set(reflect.ValueOf(t))
			return nil
		}
	}
	return n.wrong(raw, "a time such as 2026-01-02, 2026-01-02T15:04:05Z, now or -7d")
}

func (n *node) setText(v reflect.Value, raw any) *flaw {
	s, ok := plainText(raw)
	if num, isNumber := raw.(json.Number); isNumber && n.kind == Decimal {
		s, ok = string(num), true
	}
	if !ok {
		return n.wrong(raw, n.want())
	}
	var value any
	var err error
	switch n.kind {
	case ObjectID:
		value, err = bson.ObjectIDFromHex(s)
	case Decimal:
		value, err = bson.ParseDecimal128(s)
	case UUID:
		value, err = parseUUID(s)
	default:
		return n.unmarshal(v, raw, s)
	}
	if err != nil {
		return n.wrong(raw, n.want())
	}
	v.Set(reflect.ValueOf(value))
	return nil
}

// unmarshal hands the text to the author's own type, whose panic must not stop the program.
func (n *node) unmarshal(v reflect.Value, raw any, s string) (f *flaw) {
	defer func() {
		if p := recover(); p != nil {
			f = flawf("%s made %s panic", n.show(text(s)), n.typ)
		}
	}()
	if _, strict := raw.(string); strict && len(n.rules.enum) > 0 && !slices.Contains(n.rules.enum, s) {
		return n.notInEnum(s) // as the schema says; a person may use any spelling that the type knows
	}
	decoder, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	if !ok {
		return flawf("%s cannot read text", n.typ)
	}
	if err := decoder.UnmarshalText([]byte(s)); err != nil {
		if len(n.rules.enum) > 0 {
			return n.notInEnum(s)
		}
		if n.tags.secret {
			return flawf("%s is not a valid %s", mask, n.typ)
		}
		return flawf("%s is not a valid %s: %s", n.show(text(s)), n.typ, quoteIfOdd(err.Error()))
	}
	return nil
}

// want says in words what a kind of text looks like.
func (n *node) want() string {
	switch n.kind {
	case ObjectID:
		return "an ObjectID of 24 hexadecimal digits"
	case Decimal:
		return "a decimal number such as 12.50 of at most 34 digits"
	case UUID:
		return "a UUID such as 123e4567-e89b-12d3-a456-426614174000"
	default:
		return "text"
	}
}

func (n *node) wrong(raw any, want string) *flaw {
	return &flaw{message: n.show(raw) + " is not " + want, allowed: want}
}

// show quotes a raw value for a message, unless it is secret.
func (n *node) show(raw any) string {
	if n.tags.secret {
		return mask
	}
	switch x := raw.(type) {
	case nil:
		return "null"
	case text:
		return quote(string(x))
	case string:
		return quote(x)
	case json.Number:
		return shorten(string(x))
	case bool:
		return strconv.FormatBool(x)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "this"
}

func quote(s string) string { return strconv.Quote(safe(s)) }

// safe prepares a value for a message: passwords of MongoDB URIs are masked before it is cut.
func safe(s string) string { return shorten(redact.Text(s)) }

// quoteIfOdd keeps control characters of foreign messages away from terminals.
func quoteIfOdd(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return quote(s)
		}
	}
	return safe(s)
}

// shorten keeps a message readable when the value is not.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func size(n int) string {
	if n < 1<<20 {
		return strconv.Itoa(n) + " bytes"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}
