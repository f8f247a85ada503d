package audit

import "strings"

// jsToken is a token of JavaScript: a name, a string without its quotes, or a sign.
type jsToken struct {
	kind jsKind
	text string
	line int
	col  int
}

type jsKind byte

const (
	jsName jsKind = iota
	jsString
	jsSign  // one character, or "?."
	jsOther // numbers, templates and regular expressions
)

// jsTokens cuts a source into tokens. It is no parser, and forgives what isn't JavaScript; it knows where comments,
// strings, templates and regular expressions end.
func jsTokens(src string) []jsToken {
	l := jsLexer{src: src, line: 1}
	if strings.HasPrefix(src, "#!") {
		l.skipLine()
	}
	for l.pos < len(l.src) {
		l.next()
	}
	return l.tokens
}

type jsLexer struct {
	src       string
	pos       int
	line      int
	lineStart int
	tokens    []jsToken
	// templates has, for each template whose expression is being read, how many braces are open in that.
	templates []int
}

func (l *jsLexer) next() {
	c := l.src[l.pos]
	rest := l.src[l.pos:]
	switch {
	case c == '\n':
		l.newline()
	case c == ' ' || c == '\t' || c == '\r':
		l.pos++
	case strings.HasPrefix(rest, "//"):
		l.skipLine()
	case strings.HasPrefix(rest, "/*"):
		l.comment()
	case c == '"' || c == '\'':
		l.text(c)
	case c == '`':
		l.emit(jsOther, "`")
		l.pos++
		l.template()
	case c == '/' && l.regexpMayStand():
		l.regexp()
	case isNameByte(c):
		l.word()
	default:
		l.sign(c)
	}
}

func (l *jsLexer) emit(kind jsKind, text string) {
	l.tokens = append(l.tokens, jsToken{kind, text, l.line, l.pos - l.lineStart + 1})
}

func (l *jsLexer) newline() {
	l.pos++
	l.line++
	l.lineStart = l.pos
}

func (l *jsLexer) skipLine() {
	for l.pos < len(l.src) && l.src[l.pos] != '\n' {
		l.pos++
	}
}

func (l *jsLexer) comment() {
	for l.pos += 2; l.pos < len(l.src); {
		if strings.HasPrefix(l.src[l.pos:], "*/") {
			l.pos += 2
			return
		}
		l.skipByte()
	}
}

// skipByte skips one byte of what isn't code.
func (l *jsLexer) skipByte() {
	if l.src[l.pos] == '\n' {
		l.newline()
		return
	}
	l.pos++
}

// text reads a string. One that isn't closed ends with its line.
func (l *jsLexer) text(quote byte) {
	end := l.pos + 1
	for end < len(l.src) && l.src[end] != quote && l.src[end] != '\n' {
		if l.src[end] == '\\' && end+1 < len(l.src) && l.src[end+1] != '\n' {
			end++
		}
		end++
	}
	end = min(end, len(l.src))
	l.emit(jsString, l.src[l.pos+1:end])
	l.pos = end
	if end < len(l.src) && l.src[end] == quote {
		l.pos++
	}
}

// template skips the text of a template up to its end or to an expression in it.
func (l *jsLexer) template() {
	for l.pos < len(l.src) {
		switch {
		case l.src[l.pos] == '`':
			l.pos++
			return
		case strings.HasPrefix(l.src[l.pos:], "${"):
			l.pos += 2
			l.templates = append(l.templates, 0)
			return
		case l.src[l.pos] == '\\' && l.pos+1 < len(l.src):
			l.pos++
		}
		l.skipByte()
	}
}

func (l *jsLexer) sign(c byte) {
	if open := len(l.templates) - 1; open >= 0 {
		switch {
		case c == '{':
			l.templates[open]++
		case c == '}' && l.templates[open] == 0:
			l.templates = l.templates[:open]
			l.pos++
			l.template()
			return
		case c == '}':
			l.templates[open]--
		}
	}
	if strings.HasPrefix(l.src[l.pos:], "?.") {
		l.emit(jsSign, "?.")
		l.pos += 2
		return
	}
	l.emit(jsSign, string(c))
	l.pos++
}

func (l *jsLexer) word() {
	end := l.pos
	for end < len(l.src) && isNameByte(l.src[end]) {
		end++
	}
	kind := jsName
	if c := l.src[l.pos]; c >= '0' && c <= '9' {
		kind = jsOther
	}
	l.emit(kind, l.src[l.pos:end])
	l.pos = end
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// regexpMayStand tells a regular expression from a division, by what is before it.
func (l *jsLexer) regexpMayStand() bool {
	if len(l.tokens) == 0 {
		return true
	}
	switch last := l.tokens[len(l.tokens)-1]; last.kind {
	case jsName:
		switch last.text {
		case "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "yield", "await", "instanceof":
			return true
		}
		return false
	case jsSign:
		return last.text != ")" && last.text != "]" && last.text != "}"
	default:
		return false
	}
}

// regexp skips a regular expression, which ends with its line at the latest.
func (l *jsLexer) regexp() {
	l.emit(jsOther, "/")
	class := false
	for l.pos++; l.pos < len(l.src) && l.src[l.pos] != '\n'; l.pos++ {
		switch c := l.src[l.pos]; {
		case c == '\\' && l.pos+1 < len(l.src) && l.src[l.pos+1] != '\n':
			l.pos++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			l.pos++
			return
		}
	}
}
