package connlines

import (
	"regexp"
	"strings"
)

var (
	uriText = regexp.MustCompile(`MONGO(DB)?_UR[IL]|mongodb(\+srv)?://`)
	jsText  = regexp.MustCompile(`\b(connect|createConnection|disconnect|forceDisconnect|MongoClient|readyState)\s*\(|new MongoClient|` +
		`\.connection\b|readyState|serverSelectionTimeoutMS|socketTimeoutMS|connectTimeoutMS|m(ax|in)PoolSize|bufferCommands|` +
		`client\.(close|db)\s*\(|MongooseHelper|` + uriText.String())
	jsImport = regexp.MustCompile(`^\s*(import\b|(const|let|var)\b.*=\s*require\()`)
)

// jsSource goes by lines and brackets, which is enough for scripts that prettier has formatted.
func jsSource(path string, src []byte) Count {
	code, marked := map[int]bool{}, map[int]bool{}
	comment, depth, n := false, 0, 0
	for line := range strings.Lines(string(src)) {
		n++
		text := strings.TrimSpace(line)
		if comment {
			comment = !strings.Contains(text, "*/")
			continue
		}
		if strings.HasPrefix(text, "/*") {
			comment = !strings.Contains(text, "*/")
			continue
		}
		if text == "" || strings.HasPrefix(text, "//") || strings.HasPrefix(text, "#!") || jsImport.MatchString(text) {
			continue
		}
		code[n] = true
		opens := strings.Count(text, "{") + strings.Count(text, "(") - strings.Count(text, "}") - strings.Count(text, ")")
		switch {
		case depth > 0: // inside the block that a line about the connection opened
			marked[n] = true
			depth = max(0, depth+opens)
		case jsText.MatchString(text):
			marked[n] = true
			depth = max(0, opens)
		}
	}
	return collect(path, code, marked)
}
