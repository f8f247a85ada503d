package yamlfile

import (
	"fmt"
	"strings"
)

// Error is everything that is wrong with a file.
type Error struct {
	File     string    `json:"file"`
	Problems []Problem `json:"problems"`
}

// Problem is one thing that is wrong, and where.
type Problem struct {
	Line    int    `json:"line,omitempty"` // from 1; 0 when the problem is about the whole file
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Text    string `json:"text,omitempty"` // the line as it stands in the file
	caret   string
}

// Error lists the problems, each with its line and a caret below the fault.
func (e *Error) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.text(e.File)
	}
	return strings.Join(texts, "\n")
}

func (p Problem) text(file string) string {
	if p.Line == 0 {
		return file + ": " + p.Message
	}
	number := fmt.Sprintf("%5d", p.Line)
	return fmt.Sprintf("%s:%d:%d: %s\n%s | %s\n%s | %s", file, p.Line, p.Column, p.Message,
		number, p.Text, strings.Repeat(" ", len(number)), p.caret)
}

// Explain is the error in the parts that a command line shows.
func (e *Error) Explain() (what, why, fix string) {
	what = fmt.Sprintf("%s has %d problems", e.File, len(e.Problems))
	if len(e.Problems) == 1 {
		what = e.File + " has a problem"
	}
	return what, e.Error(), ""
}
