package term

import "github.com/rikki-go/rikki/internal/plain"

// Sanitize makes data safe to print as a part of one line, see [plain.Line].
func Sanitize(s string) string { return plain.Line(s) }

// Block is [Sanitize] for text of many lines, such as a stack: line feeds and tabs stay.
func Block(s string) string { return plain.Block(s) }
