package params

import (
	"io"
	"os"
	"slices"
	"strings"
)

// Parsed is a command line, sorted: a layer for each spec in the order of the specs.
type Parsed struct {
	Flags []Layer  // what the flags say
	File  []Layer  // what --config says
	Rest  []string // the words that are no flags, and everything after --
}

// Parser reads command lines. Its zero value, but for Specs, reads files and standard input of this process.
type Parser struct {
	// Specs are asked in their order; the first that knows a flag gets it.
	Specs []*Spec
	// Open opens the files of --list=@file and --config=@file. Nil means [os.Open].
	Open func(name string) (io.ReadCloser, error)
	// Stdin is what "-" reads. Nil means [os.Stdin].
	Stdin io.Reader
}

// ParseArgs reads a command line with a plain [Parser]. See [Parser.Parse].
func ParseArgs(args []string, specs ...*Spec) (Parsed, error) {
	return Parser{Specs: specs}.Parse(args)
}

// Parse sorts a command line into layers. Values are not decoded yet; that is [Spec.Fill]. The error, an [*Error],
// lists everything that is wrong; the layers hold the rest, so that Fill can add its own problems with [Join].
//
//	--key=value, --key value   the value may begin with one dash, not with two: then --key=--value
//	--flag, --no-flag          a bool; it takes the next word only when that is true or false
//	--no-key                   unsets an optional parameter (a pointer)
//	--list=a,b --list=c        a comma or a repetition adds items; blank items are dropped
//	--list='["a,b"]'           JSON, for items that a comma would cut
//	--list=@file, --list=-     one item per line, or a JSON array; @@ stands for a leading @
//	--filter=@file, --filter=- a filter or an update of MongoDB
//	--map k=v                  repeated, or JSON
//	--a.b=x, --a='{"b":"x"}'   the field of a nested struct
//	--config='{…}'             many parameters as JSON, also @file or -; unless a spec declares config itself
//	--                         the rest is no flags
//
// A secret is refused, wherever on the command line it stands, and in a file that others may read.
func (p Parser) Parse(args []string) (Parsed, error) {
	r := &argReader{Parser: p}
	if r.Open == nil {
		r.Open = func(name string) (io.ReadCloser, error) { return os.Open(name) }
	}
	if r.Stdin == nil {
		r.Stdin = os.Stdin
	}
	for range p.Specs {
		r.flags = append(r.flags, newLayer(OriginFlag))
		r.file = append(r.file, newLayer(OriginFile))
	}
	r.read(args)
	return Parsed{Flags: r.flags, File: r.file, Rest: r.rest}, asError(r.problems)
}

// argReader is one reading of a command line.
type argReader struct {
	Parser
	args        []string // still to be read
	flags, file []Layer
	rest        []string
	configSeen  bool
	stdinSeen   bool
	exposed     bool // others may read the file that was read last
	problems    []Problem
}

func (r *argReader) read(args []string) {
	total := 0
	for _, arg := range args {
		total += len(arg)
	}
	if total > MaxTotal {
		r.problems = append(r.problems, Problem{
			Message: "the command line has " + size(total) + "; the most is " + size(MaxTotal), Origin: OriginFlag,
		})
		return
	}
	for r.args = args; len(r.args) > 0; {
		arg := r.args[0]
		r.args = r.args[1:]
		switch {
		case arg == "--":
			r.rest = append(r.rest, r.args...)
			return
		case strings.HasPrefix(arg, "--"):
			r.flag("--", arg[2:])
		case len(arg) > 1 && arg[0] == '-':
			r.flag("-", arg[1:])
		default:
			r.rest = append(r.rest, arg)
		}
	}
}

// flag reads one flag, which stood after the dashes.
func (r *argReader) flag(dashes, arg string) {
	name, value, hasValue := strings.Cut(arg, "=")
	i, n, negated := r.find(dashes, name)
	if n == nil {
		if dashes == "--" && name == "config" {
			r.config(value, hasValue)
			return
		}
		r.unknown(dashes, name, hasValue)
		return
	}
	at := place{n.path, "--" + n.path, OriginFlag}
	if negated {
		r.negate(i, n, at, name, hasValue)
		return
	}
	if n.kind == Bool && !hasValue {
		value = "true"
		if len(r.args) > 0 && (r.args[0] == "true" || r.args[0] == "false") {
			value, r.args = r.args[0], r.args[1:]
		}
	} else if !hasValue && !r.nextWord(&value) {
		r.report(at, "", "needs a value: "+at.name+"="+n.valueWord())
		return
	}
	if n.holdsSecret() && n.kind != Struct {
		r.report(at, mask, onCommandLine+secretWays(n))
		return
	}
	raw, ok := r.raw(n, at, value)
	if ok {
		r.add(r.flags[i], n, at, raw)
	}
}

// find returns the field that a flag means, and the number of its spec.
func (r *argReader) find(dashes, name string) (spec int, n *node, negated bool) {
	for i, s := range r.Specs {
		if dashes == "-" {
			for _, n := range s.leaves() {
				if n.tags.short != "" && n.tags.short == name {
					return i, n, false
				}
			}
		} else if n, negated, ok := s.flagNode(name); ok {
			return i, n, negated
		}
	}
	return 0, nil, false
}

func (r *argReader) negate(i int, n *node, at place, name string, hasValue bool) {
	switch {
	case hasValue:
		r.report(place{n.path, "--" + shorten(name), OriginFlag}, "", "takes no value")
	case n.kind == Bool:
		r.add(r.flags[i], n, at, text("false"))
	default:
		r.add(r.flags[i], n, at, nil)
	}
}

// nextWord takes the next word as a value, unless it is a flag.
func (r *argReader) nextWord(value *string) bool {
	if len(r.args) == 0 || strings.HasPrefix(r.args[0], "--") {
		return false
	}
	if word := r.args[0]; len(word) > 1 && word[0] == '-' {
		short, _, _ := strings.Cut(word[1:], "=")
		if _, n, _ := r.find("-", short); n != nil {
			return false
		}
	}
	*value, r.args = r.args[0], r.args[1:]
	return true
}

// raw reads the value of a flag, from a file or standard input where the value says so.
func (r *argReader) raw(n *node, at place, value string) (any, bool) {
	var raw any
	var problems []Problem
	content, elsewhere := "", false
	ofMongo := n.kind == String && strings.HasPrefix(n.rules.format, mongoFormats)
	if n.kind == List || ofMongo {
		if strings.HasPrefix(value, "@@") {
			value = value[1:]
		} else {
			var ok bool
			if content, elsewhere, ok = r.content(at, value); !ok {
				return nil, false
			}
		}
	}
	switch {
	case elsewhere && ofMongo:
		raw = text(content)
	case elsewhere:
		raw, problems = n.fromLines(content, at)
	default:
		raw, problems = n.fromText(value, at)
	}
	r.problems = append(r.problems, problems...)
	return raw, len(problems) == 0
}

// byteOrderMark is what some editors begin a file with.
const byteOrderMark = "\xef\xbb\xbf"

// content reads what @file and - stand for; elsewhere is false when the value is neither.
func (r *argReader) content(at place, value string) (content string, elsewhere, ok bool) {
	var in io.Reader
	r.exposed = false
	switch {
	case value == "-":
		if r.stdinSeen {
			r.report(at, value, "standard input is read by another flag already")
			return "", true, false
		}
		r.stdinSeen = true
		in = r.Stdin
	case strings.HasPrefix(value, "@"):
		f, err := r.Open(value[1:])
		if err != nil {
			r.report(at, value, "cannot be read: "+quoteIfOdd(err.Error()))
			return "", true, false
		}
		defer func() { _ = f.Close() }() // it was only read
		r.exposed = exposed(f)
		in = f
	default:
		return "", false, true
	}
	data, err := io.ReadAll(io.LimitReader(in, MaxTotal+1))
	switch {
	case err != nil:
		r.report(at, value, "cannot be read: "+quoteIfOdd(err.Error()))
	case len(data) > MaxTotal:
		r.report(at, value, "has more than "+size(MaxTotal))
	default:
		return strings.TrimPrefix(string(data), byteOrderMark), true, true
	}
	return "", true, false
}

// add puts a value into a layer; lists and maps grow with each repetition.
func (r *argReader) add(l Layer, n *node, at place, raw any) {
	old, given := l.values[n.path]
	switch value := raw.(type) {
	case []any:
		if items, ok := old.raw.([]any); ok {
			l.values[n.path] = entry{append(slices.Clip(items), value...), at.name}
			return
		}
	case map[string]any:
		if n.kind == Struct {
			r.object(l, n, at, value)
			return
		}
		if items, ok := old.raw.(map[string]any); ok {
			for key, item := range value {
				if _, twice := items[key]; twice {
					r.report(at.item(shorten(key)), "", "is given twice")
				}
				items[key] = item
			}
			return
		}
	}
	if given {
		r.report(at, "", "is given twice")
		return
	}
	l.values[n.path] = entry{raw, at.name}
}

// object adds the members of a nested struct that was given as JSON.
func (r *argReader) object(l Layer, n *node, at place, members map[string]any) {
	if n.ptr {
		l.values[n.path] = entry{present{}, at.name}
	}
	r.problems = append(r.problems, l.flatten(n, place{}, members)...)
	r.dropSecrets(l, n, onCommandLine)
}

func (r *argReader) unknown(dashes, name string, hasValue bool) {
	// The next word may be the value of the misspelt flag, perhaps a secret, so it is no word of its own.
	if !hasValue && len(r.args) > 0 && !strings.HasPrefix(r.args[0], "-") {
		r.args = r.args[1:]
	}
	message := "unknown flag " + dashes + quoteIfOdd(shorten(name))
	var known []string
	owner := ""
	for _, s := range r.Specs {
		known = append(known, s.root.paths()...)
		owner = s.name
	}
	if owner != "" {
		message += " for " + owner
	}
	p := Problem{Field: shorten(name), Message: message, Origin: OriginFlag}
	if best := Nearest(name, known); best != "" {
		p.Suggestion = "--" + best
	} else if rest, ok := strings.CutPrefix(name, "no-"); ok {
		if best := Nearest(rest, known); best != "" {
			p.Suggestion = "--no-" + best
		}
	}
	r.problems = append(r.problems, p)
}

func (r *argReader) report(at place, value, message string) {
	r.problems = append(r.problems, Problem{
		Field: at.path, Name: at.name, Value: safe(value), Message: message, Origin: at.origin,
	})
}
