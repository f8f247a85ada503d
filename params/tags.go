package params

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// tags is what a field's struct tag says, but for the rules that its values obey.
type tags struct {
	help, placeholder, choices, short string
	deflt                             string
	hasDefault                        bool
	required, secret                  bool
	env                               []string
}

// rules is what the value of a node obeys.
type rules struct {
	min, max           string
	minLen, maxLen     *int
	minItems, maxItems *int
	unique             bool
	enum               []string
	pattern            *regexp.Regexp
	format             string
	formatPattern      *regexp.Regexp
}

// tagReader reads one field's tags and remembers where to report.
type tagReader struct {
	*builder
	tag    reflect.StructTag
	goPath string
}

// readTags fills the tags and rules of a field and reports tags that contradict its type or each other.
func (b *builder) readTags(n *node, tag reflect.StructTag, goPath string) {
	r := tagReader{b, tag, goPath}
	n.tags.help, n.tags.placeholder = tag.Get("help"), tag.Get("placeholder")
	if n.kind == Struct {
		r.refuse("a struct; tag its fields", "default", "required", "env", "enum", "min", "max", "minLength", "maxLength",
			"minItems", "maxItems", "unique", "pattern", "format", "choices", "short", "secret")
		return
	}
	n.tags.choices = tag.Get("choices")
	n.tags.required, n.tags.secret = r.bool("required"), r.bool("secret") || n.typ == secretType
	if n.elem != nil && n.elem.typ == secretType {
		n.tags.secret = true
	}
	if env := tag.Get("env"); env != "" {
		n.tags.env = splitTrim(env)
	}
	if n.tags.short = tag.Get("short"); n.tags.short != "" && (len(n.tags.short) != 1 || n.tags.short == "-") {
		r.fail(goPath, "short:%q must be one ASCII letter or digit", n.tags.short)
	}
	before := len(b.errs)
	r.rules(n)
	r.defaultValue(n, before == len(b.errs))
}

// rules reads the rules of a value: for a list or a map, those of its items.
func (r tagReader) rules(n *node) {
	item := n
	for item.elem != nil {
		item = item.elem
	}
	item.tags.secret = n.tags.secret
	if n.elem != nil {
		n.rules.minItems, n.rules.maxItems = r.int("minItems"), r.int("maxItems")
		r.ordered(n.rules.minItems, n.rules.maxItems, "minItems", "maxItems")
	} else {
		r.refuse(n.kind.String(), "minItems", "maxItems")
	}
	if n.rules.unique = r.bool("unique"); n.rules.unique && n.kind != List {
		r.fail(r.goPath, "unique is for lists, not for %s", n.kind)
	}
	if item.kind == String {
		r.stringRules(item)
	} else {
		r.refuse(item.kind.String(), "minLength", "maxLength", "pattern", "format")
		r.bounds(item)
	}
	r.enum(item)
}

func (r tagReader) stringRules(n *node) {
	n.rules.minLen, n.rules.maxLen = r.int("minLength"), r.int("maxLength")
	if v := r.int("min"); v != nil {
		n.rules.minLen = v
	}
	if v := r.int("max"); v != nil {
		n.rules.maxLen = v
	}
	r.ordered(n.rules.minLen, n.rules.maxLen, "minLength", "maxLength")
	if p, ok := r.tag.Lookup("pattern"); ok {
		re, err := regexp.Compile(p)
		if err != nil {
			r.fail(r.goPath, "pattern: %w", err)
		}
		n.rules.pattern = re
	}
	if f := r.tag.Get("format"); f != "" {
		expr, known := formatPattern(f)
		if !known {
			r.fail(r.goPath, "format:%q is unknown; known are %s", f, strings.Join(formats(), ", "))
		}
		n.rules.format = f
		if expr != "" {
			n.rules.formatPattern = regexp.MustCompile(expr)
		}
	}
}

// bounds reads min and max of a kind that has an order.
func (r tagReader) bounds(n *node) {
	switch n.kind {
	case Int, Uint, Float, Duration, Time:
	default:
		r.refuse(n.kind.String(), "min", "max")
		return
	}
	var parsed [2]reflect.Value
	for i, name := range []string{"min", "max"} {
		s, ok := r.tag.Lookup(name)
		if !ok {
			continue
		}
		v, f := n.scalar(text(s), time.Unix(0, 0))
		if f != nil {
			r.fail(r.goPath, "%s: %s", name, f.message)
			continue
		}
		parsed[i] = v
		if i == 0 {
			n.rules.min = s
		} else {
			n.rules.max = s
		}
	}
	if parsed[0].IsValid() && parsed[1].IsValid() && compare(n.kind, parsed[0], parsed[1]) > 0 {
		r.fail(r.goPath, "min %s is above max %s", n.rules.min, n.rules.max)
	}
}

// enum reads the allowed values.
func (r tagReader) enum(n *node) {
	s, ok := r.tag.Lookup("enum")
	if !ok {
		return
	}
	switch n.kind {
	case String, Int, Uint, Text:
	default:
		r.fail(r.goPath, "enum is for strings and whole numbers, not for %s", n.kind)
		return
	}
	n.setEnum(r.builder, splitTrim(s), r.goPath)
}

// setEnum keeps the allowed values in the form in which values are written back.
func (n *node) setEnum(b *builder, words []string, goPath string) {
	var enum []string
	n.rules.enum = nil // or the type would be asked whether its values are among themselves
	for _, word := range words {
		v, f := n.scalar(text(word), time.Time{})
		if f != nil {
			b.fail(goPath, "enum: %s", f.message)
			return
		}
		canonical, err := n.write(v)
		if err != nil {
			b.fail(goPath, "enum: %w", err)
			return
		}
		enum = append(enum, canonical)
	}
	n.rules.enum = enum
}

// defaultValue reads the default and, where the rules are sound, tries it against them.
func (r tagReader) defaultValue(n *node, sound bool) {
	n.tags.deflt, n.tags.hasDefault = r.tag.Lookup("default")
	if !n.tags.hasDefault {
		return
	}
	switch {
	case n.tags.required:
		r.fail(r.goPath, "is required and has a default; a default would never be used")
	case n.ptr:
		r.fail(r.goPath, "is a pointer and has a default, so it could not be absent; drop one of the two")
	case n.tags.secret:
		r.fail(r.goPath, "is a secret and must not have a default in the source")
	case sound:
		j := &job{now: time.Now()}
		j.value(n, place{name: "default", path: n.path, origin: OriginDefault}, n.fromTag(n.tags.deflt))
		for _, p := range j.problems {
			r.fail(r.goPath, "%s", p)
		}
	}
}

func (r tagReader) refuse(what string, names ...string) {
	for _, name := range names {
		if _, ok := r.tag.Lookup(name); ok {
			r.fail(r.goPath, "the tag %s has no meaning for %s", name, what)
		}
	}
}

func (r tagReader) bool(name string) bool {
	s, ok := r.tag.Lookup(name)
	if !ok {
		return false
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		r.fail(r.goPath, "%s:%q must be true or false", name, s)
	}
	return v
}

func (r tagReader) int(name string) *int {
	s, ok := r.tag.Lookup(name)
	if !ok {
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 0 {
		r.fail(r.goPath, "%s:%q must be a whole number of 0 or more", name, s)
		return nil
	}
	return &v
}

func (r tagReader) ordered(low, high *int, lowName, highName string) {
	if low != nil && high != nil && *low > *high {
		r.fail(r.goPath, "%s %d is above %s %d", lowName, *low, highName, *high)
	}
}

// splitTrim splits at commas and drops blanks.
func splitTrim(s string) []string {
	var words []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// length counts what a person would call characters.
func length(s string) int { return utf8.RuneCountInString(s) }
