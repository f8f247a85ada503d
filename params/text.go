package params

import (
	"encoding/json"
	"strings"

	"github.com/rikki-go/rikki/internal/extjson"
)

// fromText turns what a person wrote into a raw value: JSON for whatever has parts, commas for lists of single
// values, key=value for maps.
func (n *node) fromText(s string, at place) (any, []Problem) {
	trimmed := strings.TrimSpace(s)
	switch n.kind {
	case List:
		if n.elem.rules.format == valueFormat {
			return n.fromValues(trimmed, at)
		}
		if strings.HasPrefix(trimmed, "[") || !n.elem.kind.scalar() && !strings.HasPrefix(trimmed, "{") {
			return n.fromJSONText(trimmed, at)
		}
		if n.elem.kind.scalar() {
			items := []any{}
			for _, word := range splitTrim(s) {
				items = append(items, text(word))
			}
			return items, nil
		}
		item, problems := n.elem.fromJSONText(trimmed, at)
		return []any{item}, problems
	case Map:
		if strings.HasPrefix(trimmed, "{") || trimmed == "" {
			return n.fromJSONText(trimmed, at)
		}
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, []Problem{n.badText(s, at, `is neither key=value nor a JSON object`)}
		}
		item, problems := n.elem.fromText(value, at.item(shorten(key)))
		return map[string]any{key: item}, problems
	case Struct:
		return n.fromJSONText(trimmed, at)
	default:
		return text(s), nil
	}
}

// fromValues reads a list of values of MongoDB: a JSON array of them, or words between commas. One that begins like an object, a list or
// a text of JSON goes on to its end, whatever commas are in it.
func (n *node) fromValues(s string, at place) (any, []Problem) {
	items := []any{}
	if strings.HasPrefix(s, "[") {
		var list []json.RawMessage
		if err := extjson.Check([]byte(s)); err != nil {
			return nil, []Problem{n.badText(s, at, "is no list: "+quoteIfOdd(err.Error()))}
		}
		if err := json.Unmarshal([]byte(s), &list); err != nil {
			return nil, []Problem{n.badText(s, at, "is no list: "+quoteIfOdd(err.Error()))}
		}
		for _, item := range list {
			var word string
			if json.Unmarshal(item, &word) != nil || item[0] != '"' {
				word = string(item)
			}
			items = append(items, text(word))
		}
		return items, nil
	}
	for s = strings.TrimLeft(s, ", \t\r\n"); s != ""; s = strings.TrimLeft(s, ", \t\r\n") {
		length := valueLength(s)
		items = append(items, text(strings.TrimSpace(s[:length])))
		s = s[length:]
	}
	return items, nil
}

// valueLength is how much of a text its first value takes.
func valueLength(s string) int {
	if strings.IndexByte(`{["`, s[0]) >= 0 {
		dec := json.NewDecoder(strings.NewReader(s))
		var value json.RawMessage
		if dec.Decode(&value) == nil {
			length := int(dec.InputOffset())
			if rest := strings.TrimSpace(s[length:]); rest == "" || rest[0] == ',' {
				return length
			}
		}
		if s[0] == '{' { // whoever checks it says what is wrong with it
			return len(s)
		}
	}
	if i := strings.IndexByte(s, ','); i >= 0 {
		return i
	}
	return len(s)
}

// fromJSONText reads a value that is written as JSON. Blank text is an empty list or map.
func (n *node) fromJSONText(s string, at place) (any, []Problem) {
	switch {
	case s == "" && n.kind == List:
		return []any{}, nil
	case s == "" && n.kind == Map:
		return map[string]any{}, nil
	}
	v, problems := parseJSON([]byte(s), at.origin)
	for i, p := range problems {
		if p.Field == "" || strings.HasPrefix(p.Field, "[") {
			problems[i].Field, problems[i].Name = at.path+p.Field, at.name+p.Field
			continue
		}
		problems[i].Field, problems[i].Name = at.path+"."+p.Field, at.name+"."+p.Field
	}
	if len(problems) > 0 {
		return nil, problems
	}
	_, isList := v.([]any)
	_, isObject := v.(map[string]any)
	if isList && n.kind == List || isObject && n.kind != List {
		return v, nil
	}
	return nil, []Problem{n.badText(s, at, "is not "+n.article())}
}

func (n *node) badText(s string, at place, message string) Problem {
	return Problem{
		Field: at.path, Name: at.name, Value: n.shownValue(s), Origin: at.origin,
		Message: n.show(text(s)) + " " + message, Allowed: n.article(),
	}
}

// shownValue is the value of a problem: shortened, or masked.
func (n *node) shownValue(s string) string {
	if n.tags.secret {
		return mask
	}
	return safe(s)
}

// fromTag reads the text of a default tag; a mistake in it becomes a flaw that decoding reports.
func (n *node) fromTag(s string) any {
	raw, problems := n.fromText(s, place{origin: OriginDefault})
	if len(problems) > 0 {
		return flaw{message: problems[0].Message}
	}
	return raw
}

// fromLines reads a file of items, one per line, or a JSON array. Blank lines are no items.
func (n *node) fromLines(s string, at place) (any, []Problem) {
	if trimmed := strings.TrimSpace(s); strings.HasPrefix(trimmed, "[") {
		return n.fromText(trimmed, at)
	}
	items := []any{}
	var problems []Problem
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if n.elem.kind.scalar() {
			items = append(items, text(line))
			continue
		}
		item, more := n.elem.fromText(line, at)
		items, problems = append(items, item), append(problems, more...)
	}
	return items, problems
}

// article says what a node takes, for people.
func (n *node) article() string {
	switch n.kind {
	case List:
		return "a list"
	case Map, Struct:
		return "an object"
	case Bool:
		return "true or false"
	case Int, Uint:
		return "a whole number"
	case Float:
		return "a number"
	case Duration:
		return "a duration such as 90s"
	case Time:
		return "a time such as 2026-01-02T15:04:05Z"
	case ObjectID, Decimal, UUID:
		return n.want()
	default:
		return "a string"
	}
}
