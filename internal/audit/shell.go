package audit

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// shellFindings reads a shell script and finds the commands that start mongosh, or mongo before it.
func shellFindings(src []byte) []Finding {
	var found []Finding
	s := shellScanner{src: string(src), found: &found}
	s.scan(0)
	return found
}

// shellWord is a word of a command, without its quotes and without what it expands.
type shellWord struct {
	text string
	pos  int
}

// shellScanner reads simple commands. Command substitutions are read by the same scanner.
type shellScanner struct {
	src   string
	pos   int
	here  []hereDoc // whose text begins with the next line
	found *[]Finding
}

type hereDoc struct {
	end  string
	tabs bool // leading tabs don't count
}

// scan reads commands until the given byte, or to the end of the source for zero.
func (s *shellScanner) scan(until byte) {
	var words []shellWord
	redirected := false
	flush := func() { s.command(words); words, redirected = nil, false }
	defer func() { flush() }()
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case c == until && until != 0:
			s.pos++
			return
		case c == '\n':
			flush()
			s.pos++
			s.skipHereDocs()
		case c == ' ' || c == '\t' || c == '\r' || strings.HasPrefix(s.src[s.pos:], "\\\n"):
			s.pos++
			if c == '\\' {
				s.pos++
			}
		case c == '#':
			s.skipLine()
		case strings.IndexByte(";&|()", c) >= 0:
			flush()
			s.pos++
		case c == '<' || c == '>':
			redirected = s.redirect()
		default:
			word := s.word(until)
			if !redirected {
				words = append(words, word)
			}
			redirected = false
		}
	}
}

func (s *shellScanner) skipLine() {
	for s.pos < len(s.src) && s.src[s.pos] != '\n' {
		s.pos++
	}
}

// redirect reads an operator, and tells whether the next word is its target.
func (s *shellScanner) redirect() bool {
	rest := s.src[s.pos:]
	if strings.HasPrefix(rest, "<<") && !strings.HasPrefix(rest, "<<<") {
		s.pos += 2
		doc := hereDoc{}
		if s.pos < len(s.src) && s.src[s.pos] == '-' {
			doc.tabs = true
			s.pos++
		}
		for s.pos < len(s.src) && (s.src[s.pos] == ' ' || s.src[s.pos] == '\t') {
			s.pos++
		}
		doc.end = s.word(0).text
		s.here = append(s.here, doc)
		return false
	}
	for s.pos < len(s.src) && strings.IndexByte("<>&|", s.src[s.pos]) >= 0 {
		s.pos++
	}
	return true
}

// skipHereDocs skips the texts that begin here.
func (s *shellScanner) skipHereDocs() {
	for _, doc := range s.here {
		for s.pos < len(s.src) {
			start := s.pos
			s.skipLine()
			line := s.src[start:s.pos]
			s.pos = min(s.pos+1, len(s.src))
			if doc.tabs {
				line = strings.TrimLeft(line, "\t")
			}
			if strings.TrimSuffix(line, "\r") == doc.end {
				break
			}
		}
	}
	s.here = nil
}

// word reads a word. What stands in it as a command is read as one.
func (s *shellScanner) word(until byte) shellWord {
	var b strings.Builder
	word := shellWord{pos: s.pos}
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if strings.IndexByte(" \t\r\n;&|()<>", c) >= 0 || (c == until && until != 0) {
			break
		}
		s.part(c, &b)
	}
	if s.pos == word.pos {
		s.pos++ // whatever it is, it isn't read twice
	}
	word.text = b.String()
	return word
}

// part reads a piece of a word: quoted, substituted or plain.
func (s *shellScanner) part(c byte, b *strings.Builder) {
	switch {
	case c == '\\' && s.pos+1 < len(s.src):
		b.WriteByte(s.src[s.pos+1])
		s.pos += 2
	case c == '\'':
		end := strings.IndexByte(s.src[s.pos+1:], '\'')
		if end < 0 {
			end = len(s.src) - s.pos - 1
		}
		b.WriteString(s.src[s.pos+1 : s.pos+1+end])
		s.pos = min(s.pos+end+2, len(s.src))
	case c == '"':
		s.quoted(b)
	case s.substitution():
		b.WriteByte('$') // not the word that it would be without
	default:
		b.WriteByte(c)
		s.pos++
	}
}

// quoted reads what stands in double quotes.
func (s *shellScanner) quoted(b *strings.Builder) {
	for s.pos++; s.pos < len(s.src); {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return
		case c == '\\' && s.pos+1 < len(s.src):
			b.WriteByte(s.src[s.pos+1])
			s.pos += 2
		case s.substitution():
			b.WriteByte('$')
		default:
			b.WriteByte(c)
			s.pos++
		}
	}
}

// substitution reads $(…) and `…`, if one begins here.
func (s *shellScanner) substitution() bool {
	rest := s.src[s.pos:]
	switch {
	case strings.HasPrefix(rest, "$(("):
		s.pos += 3 // arithmetic; its parentheses are skipped like others
		return true
	case strings.HasPrefix(rest, "$("):
		s.pos += 2
		s.scan(')')
		return true
	case strings.HasPrefix(rest, "`"):
		s.pos++
		s.scan('`')
		return true
	}
	return false
}

var shellAssignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\+?=`)

// command looks at one simple command.
func (s *shellScanner) command(words []shellWord) {
	i := 0
	for i < len(words) && (shellAssignment.MatchString(words[i].text) || beforeCommand(words[i].text)) {
		i++
	}
	if i == len(words) || slices.ContainsFunc(words[i:], connectsNot) {
		return
	}
	if shell := shellName(words[i].text); shell != "" {
		s.add(words[i], shell)
		return
	}
	launcher := path.Base(words[i].text)
	for _, word := range words[i+1:] {
		// An image or a container may be called mongo, so there only mongosh counts.
		if shell := shellName(word.text); shell == "mongosh" && startsOthers(launcher) || shell != "" && startsHere(launcher) {
			s.add(word, shell)
			return
		}
	}
}

func (s *shellScanner) add(word shellWord, shell string) {
	before := s.src[:word.pos]
	*s.found = append(*s.found, Finding{
		Line: 1 + strings.Count(before, "\n"), Column: word.pos - strings.LastIndexByte(before, '\n'), Call: shell,
	})
}

func shellName(word string) string {
	switch base := path.Base(word); base {
	case "mongosh", "mongo":
		return base
	}
	return ""
}

// beforeCommand lists the words that a command may stand behind.
func beforeCommand(word string) bool {
	switch word {
	case "if", "then", "else", "elif", "do", "while", "until", "!", "{":
		return true
	}
	return false
}

// startsHere lists the programs that run the command they are given.
func startsHere(program string) bool {
	switch program {
	case "sudo", "doas", "env", "exec", "nohup", "time", "timeout", "nice", "ionice", "xargs", "stdbuf", "setsid", "watch", "npx", "eval":
		return true
	}
	return false
}

// startsOthers lists those that run it somewhere else.
func startsOthers(program string) bool {
	switch program {
	case "docker", "docker-compose", "podman", "kubectl", "ssh":
		return true
	}
	return startsHere(program)
}

// connectsNot recognises a call of the shell that doesn't connect by itself.
func connectsNot(word shellWord) bool {
	switch word.text {
	case "--version", "--help", "-h", "--nodb":
		return true
	}
	return false
}
