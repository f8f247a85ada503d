package params

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rikki-go/rikki/internal/extjson"
)

// check holds a decoded scalar against the rules of its node.
func (n *node) check(v reflect.Value, now time.Time) *flaw {
	switch n.kind {
	case String:
		if f := n.checkString(v.String()); f != nil {
			return f
		}
	case Int, Uint, Float, Duration, Time:
		if f := n.checkBounds(v, now); f != nil {
			return f
		}
	default:
	}
	if len(n.rules.enum) == 0 {
		return nil
	}
	s, err := n.write(v)
	if err != nil {
		return flawf("cannot be written as text: %s", quoteIfOdd(err.Error()))
	}
	if !slices.Contains(n.rules.enum, s) {
		return n.notInEnum(s)
	}
	return nil
}

func (n *node) notInEnum(s string) *flaw {
	allowed := strings.Join(n.rules.enum, ", ")
	f := flawf("%s is not one of %s", n.show(text(s)), allowed)
	f.allowed = allowed
	if !n.tags.secret {
		f.suggestion = Nearest(s, n.rules.enum)
	}
	return f
}

func (n *node) checkString(s string) *flaw {
	r := n.rules
	switch l := length(s); {
	case r.minLen != nil && l < *r.minLen:
		return flawf("%s has %s; the least is %d", n.show(text(s)), count(l, "character"), *r.minLen)
	case r.maxLen != nil && l > *r.maxLen:
		return flawf("%s has %s; the most is %d", n.show(text(s)), count(l, "character"), *r.maxLen)
	case r.pattern != nil && !r.pattern.MatchString(s):
		f := flawf("%s does not match the pattern %s", n.show(text(s)), r.pattern)
		f.allowed = r.pattern.String()
		return f
	}
	if err := r.malformed(s); err != nil {
		f := flawf("%s is not %s", n.show(text(s)), formatText(r.format))
		if why := err.Error(); why != "" && !n.tags.secret {
			f.message += ": " + quoteIfOdd(why)
		}
		return f
	}
	return nil
}

// errForm is a value of which its format says all that there is to say.
var errForm = errors.New("")

// malformed says why a text doesn't have its format.
func (r rules) malformed(s string) error {
	switch r.format {
	case "json":
		return syntaxOf(s)
	case "mongo-filter":
		if err := syntaxOf(s); err != nil {
			return err
		}
		_, err := extjson.Document([]byte(s))
		return err
	}
	if r.formatPattern == nil || r.formatPattern.MatchString(s) {
		return nil
	}
	return errForm
}

// syntaxOf says what is wrong with a text as JSON, and where.
func syntaxOf(s string) error {
	var v json.RawMessage
	err := json.Unmarshal([]byte(s), &v)
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	switch {
	case !ok:
		return err
	case syntax.Offset >= int64(len(s)) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return errors.New("it ends too early")
	}
	return fmt.Errorf("%w at byte %d", syntax, syntax.Offset-1)
}

func (n *node) checkBounds(v reflect.Value, now time.Time) *flaw {
	bound := func(s string) (reflect.Value, bool) {
		if s == "" {
			return reflect.Value{}, false
		}
		b, f := n.scalar(text(s), now)
		return b, f == nil
	}
	s, err := n.write(v)
	if err != nil || n.tags.secret {
		s = mask
	}
	if b, ok := bound(n.rules.min); ok && compare(n.kind, v, b) < 0 {
		return &flaw{message: s + " is below the minimum " + n.rules.min, allowed: n.allowedRange()}
	}
	if b, ok := bound(n.rules.max); ok && compare(n.kind, v, b) > 0 {
		return &flaw{message: s + " is above the maximum " + n.rules.max, allowed: n.allowedRange()}
	}
	return nil
}

// allowedRange puts min and max into words.
func (n *node) allowedRange() string {
	switch r := n.rules; {
	case r.min != "" && r.max != "":
		return r.min + " to " + r.max
	case r.min != "":
		return r.min + " or more"
	case r.max != "":
		return r.max + " or less"
	}
	return ""
}

// compare orders two values of an ordered kind.
func compare(k Kind, a, b reflect.Value) int {
	switch k {
	case Uint:
		return cmp.Compare(a.Uint(), b.Uint())
	case Float:
		return cmp.Compare(a.Float(), b.Float())
	case Time:
		x, _ := reflect.TypeAssert[time.Time](a)
		y, _ := reflect.TypeAssert[time.Time](b)
		return x.Compare(y)
	default:
		return cmp.Compare(a.Int(), b.Int())
	}
}

// checkSize holds the number of items of a list or map against the rules.
func (n *node) checkSize(l int) *flaw {
	switch r := n.rules; {
	case r.minItems != nil && l < *r.minItems:
		return flawf("has %s; the least is %d", count(l, "item"), *r.minItems)
	case r.maxItems != nil && l > *r.maxItems:
		return flawf("has %s; the most is %d", count(l, "item"), *r.maxItems)
	}
	return nil
}

func count(n int, what string) string {
	s := strconv.Itoa(n) + " " + what
	if n != 1 {
		s += "s"
	}
	return s
}

// valueFormat is that of any value of MongoDB: as Extended JSON, or a word that stands for itself. A list of such values is not cut at
// the commas within one.
const valueFormat = "mongo-value"

// mongoFormats begin the names of the formats of what is Extended JSON.
const mongoFormats = "mongo-"

// formatExpressions are the formats with the regular expression that their values match; an empty one means that
// the format is checked otherwise or not at all.
func formatExpressions() map[string]string {
	return map[string]string{
		"objectid":     `^[0-9a-fA-F]{24}$`,
		"uuid":         `^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`,
		"email":        `^[^@\s]+@[^@\s]+$`,
		"uri":          `^[A-Za-z][A-Za-z0-9+.-]*:\S+$`,
		"json":         "",
		"mongo-filter": "",
		"mongo-update": "", // who uses it checks it
		valueFormat:    "",
		"multiline":    "",
	}
}

func formats() []string { return slices.Sorted(maps.Keys(formatExpressions())) }

func formatPattern(name string) (string, bool) {
	expr, ok := formatExpressions()[name]
	return expr, ok
}

func formatText(name string) string {
	switch name {
	case "objectid":
		return "an ObjectID of 24 hexadecimal digits"
	case "uuid":
		return "a UUID"
	case "email":
		return "an e-mail address"
	case "uri":
		return "a URI such as https://example.com/path"
	case "json":
		return "valid JSON"
	case "mongo-filter":
		return `a MongoDB filter such as {"status": "new"}`
	}
	return name
}
