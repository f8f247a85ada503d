package model

import "fmt"

// ChangeKind is what a [Change] does.
type ChangeKind string

// The kinds of changes.
const (
	// Missing is declared, and the server does not have it.
	Missing ChangeKind = "missing"
	// Extra is on the server, and nobody declared it.
	Extra ChangeKind = "extra"
	// Different is on the server, but not as declared.
	Different ChangeKind = "different"
)

// Change is one difference between a declaration and the server.
type Change struct {
	Kind ChangeKind
	// What is the name of an index, or a path in the validator.
	What string
	// Want is the declaration, Have the server's side; empty where there is none.
	Want, Have string
	// Applied says that the server was changed.
	Applied bool
}

// String writes a change as a line of a diff.
func (c Change) String() string {
	switch c.Kind {
	case Missing:
		return fmt.Sprintf("+ %s: %s", c.What, c.Want)
	case Extra:
		return fmt.Sprintf("- %s: %s", c.What, c.Have)
	case Different:
	}
	return fmt.Sprintf("~ %s: %s → %s", c.What, c.Have, c.Want)
}
