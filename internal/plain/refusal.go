package plain

import "regexp"

// refused is a command in the words of a server that refuses it: all of it, with what it would have written.
var refused = regexp.MustCompile(`(?s)to execute command \{ (\w+): ("[^"]*"|[^,]*),.*?\$db: "[^"]*" \}`)

// Refusal is an error's text with no more of a refused command than its name and its collection.
func Refusal(text string) string {
	return refused.ReplaceAllString(text, "to execute command $1 on $2")
}
