package audit

import "strings"

// jsBinding is what a name stands for: a member of a module, or with no member the module itself.
type jsBinding struct{ module, member string }

// jsScript is a source whose imports are known.
type jsScript struct {
	tokens []jsToken
	names  map[string]jsBinding
	// modules tells that the source imports anything at all. One that doesn't may be for mongosh.
	modules bool
	found   []Finding
}

// jsFindings reads JavaScript or TypeScript.
func jsFindings(src []byte) []Finding {
	s := jsScript{tokens: jsTokens(string(src)), names: map[string]jsBinding{
		// Where a script has them from somewhere else, a parameter say, their names are telling enough.
		"mongoose": {"mongoose", ""}, "MongoClient": {"mongodb", "MongoClient"},
	}}
	if line, _, _ := strings.Cut(string(src), "\n"); strings.HasPrefix(line, "#!") && strings.Contains(line, "mongo") {
		s.found = append(s.found, Finding{Line: 1, Column: 1, Call: "mongosh"})
	}
	for i := range s.tokens {
		s.bind(i)
	}
	for i := range s.tokens {
		s.use(i)
	}
	return s.found
}

// at returns a token, or one that is nothing.
func (s *jsScript) at(i int) jsToken {
	if i < 0 || i >= len(s.tokens) {
		return jsToken{kind: jsOther}
	}
	return s.tokens[i]
}

func (s *jsScript) name(i int, text string) bool {
	t := s.at(i)
	return t.kind == jsName && t.text == text
}

func (s *jsScript) sign(i int, text string) bool {
	t := s.at(i)
	return t.kind == jsSign && t.text == text
}

func (s *jsScript) dot(i int) bool { return s.sign(i, ".") || s.sign(i, "?.") }

// bind notes what an import or a require at i gives a name to.
func (s *jsScript) bind(i int) {
	switch {
	case s.dot(i - 1):
	case (s.name(i, "require") || s.name(i, "import")) && s.sign(i+1, "("):
		if module := s.at(i + 2); module.kind == jsString {
			s.modules = true
			s.bindCall(i, module.text)
		}
	case s.name(i, "import"):
		s.modules = true
		s.bindImport(i)
	}
}

// bindImport reads `import a, { b as c } from "module"` and its variants.
func (s *jsScript) bindImport(i int) {
	const longest = 400 // tokens; an import of more is none
	end := i + 1
	for s.at(end).kind != jsString && end < i+longest && end < len(s.tokens) && !s.sign(end, ";") && !s.sign(end, "(") {
		end++
	}
	module := s.at(end)
	if module.kind != jsString || !s.name(end-1, "from") || s.name(i+1, "type") && !s.name(i+2, "from") && !s.sign(i+2, ",") {
		return // for its effects only, or for types only
	}
	braces := false
	for j := i + 1; j < end-1; j++ {
		switch t := s.at(j); {
		case t.text == "{" || t.text == "}":
			braces = t.text == "{"
		case t.kind != jsName || t.text == "as" || t.text == "type" && braces && s.at(j+1).kind == jsName:
		case s.name(j-1, "as") && braces:
			s.set(t.text, module.text, s.at(j-2).text)
		case braces && !s.name(j+1, "as"):
			s.set(t.text, module.text, t.text)
		case !braces: // the default, or * as
			s.set(t.text, module.text, "")
		}
	}
}

// bindCall reads `const a = require("module")`, `const { b: c } = await import("module")` and the like, and uses of the
// module right there.
func (s *jsScript) bindCall(i int, module string) {
	end := i + 4 // behind the closing parenthesis
	before := i - 1
	for s.name(before, "await") || s.sign(before, "(") {
		if s.sign(before, "(") && s.sign(end, ")") {
			end++
		}
		before--
	}
	member := ""
	for s.dot(end) && s.at(end+1).kind == jsName {
		switch text := s.at(end + 1).text; {
		case text == "default" && member == "":
		case s.sign(end+2, "(") || s.name(before, "new"):
			s.member(i, jsBinding{module, member}, text, s.name(before, "new"))
			return
		default:
			member = text
		}
		end += 2
	}
	if !s.sign(before, "=") {
		return
	}
	switch t := s.at(before - 1); {
	case t.kind == jsName:
		s.set(t.text, module, member)
	case t.text == "}":
		s.bindPattern(before-1, module)
	}
}

// bindPattern reads `{ a, b: c }`, which ends at i.
func (s *jsScript) bindPattern(i int, module string) {
	for j := i - 1; j >= 0 && !s.sign(j, "{"); j-- {
		t := s.at(j)
		switch {
		case t.kind != jsName || s.sign(j+1, ":"):
		case s.sign(j-1, ":"):
			s.set(t.text, module, s.at(j-2).text)
		default:
			s.set(t.text, module, t.text)
		}
	}
}

func (s *jsScript) set(name, module, member string) {
	if member == "default" {
		member = ""
	}
	s.names[name] = jsBinding{module, member}
}

// use looks at a name that may stand for something that connects.
func (s *jsScript) use(i int) {
	t := s.at(i)
	if t.kind != jsName || s.dot(i-1) {
		return
	}
	s.useOfShell(i)
	bound, ok := s.names[t.text]
	if !ok || s.sign(i+1, ":") || s.name(i-1, "function") {
		return
	}
	made := s.name(i-1, "new")
	switch {
	case s.sign(i+1, "(") || (s.sign(i+1, "?.") && s.sign(i+2, "(")):
		s.member(i, jsBinding{bound.module, ""}, bound.member, made)
	case s.dot(i + 1):
		member := i + 2
		if s.name(member, "default") && s.dot(member+1) {
			member += 2
		}
		// mongodb.MongoClient.connect
		if bound.member == "" && s.name(member, "MongoClient") && s.dot(member+1) {
			bound.member, member = "MongoClient", member+2
		}
		if s.sign(member+1, "(") || (s.sign(member+1, "?.") && s.sign(member+2, "(")) {
			s.member(i, bound, s.at(member).text, made)
		}
	}
}

// member notes a call of a member, or a thing made of it, if that connects.
func (s *jsScript) member(i int, of jsBinding, member string, made bool) {
	var call string
	switch {
	case of.module == "mongoose" && of.member == "" && (member == "connect" || member == "createConnection"):
		call = "mongoose." + member
	case of.module == "mongodb" && of.member == "" && member == "MongoClient" && made:
		call = "new MongoClient"
	case of.module == "mongodb" && of.member == "MongoClient" && member == "connect":
		call = "MongoClient.connect"
	default:
		return
	}
	t := s.at(i)
	s.found = append(s.found, Finding{Line: t.line, Column: t.col, Call: call})
}

// useOfShell finds what scripts for mongosh connect with. Those import nothing.
func (s *jsScript) useOfShell(i int) {
	if s.modules || !s.sign(i+1, "(") {
		return
	}
	arg := s.at(i + 2)
	var call string
	switch {
	case s.name(i, "Mongo") && s.name(i-1, "new"):
		call = "new Mongo"
	case s.name(i, "connect") && !s.name(i-1, "function") && arg.kind == jsString && strings.HasPrefix(arg.text, "mongodb"):
		call = "connect"
	default:
		return
	}
	t := s.at(i)
	s.found = append(s.found, Finding{Line: t.line, Column: t.col, Call: call})
}
