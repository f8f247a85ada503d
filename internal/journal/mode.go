package journal

import "fmt"

// Mode is how much is kept of each document that a run changes.
type Mode string

// The modes. The zero value is not one of them; [ParseMode] turns it into [Changed].
const (
	Changed Mode = "changed" // the paths that changed, before and after
	Full    Mode = "full"    // the whole document before and after
	IDs     Mode = "ids"     // which documents changed, and whether they were inserted, updated or deleted; can't be undone
	Off     Mode = "off"     // nothing
)

// ParseMode reads a mode; "" is [Changed].
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case "":
		return Changed, nil
	case Changed, Full, IDs, Off:
		return m, nil
	}
	return "", fmt.Errorf("there is no journal mode %q: use changed, full, ids or off", text)
}

// Undoable says whether a run with this mode can be undone.
func (m Mode) Undoable() bool { return m == Changed || m == Full }

// Op is what happened to a document.
type Op uint8

// The operations. A replacement is an update that paths can't take back exactly.
const (
	Update Op = iota + 1
	Replace
	Insert
	Delete
)

var opNames = [...]string{Update: "update", Replace: "replace", Insert: "insert", Delete: "delete"}

func (op Op) String() string {
	if op == 0 || int(op) >= len(opNames) {
		return fmt.Sprintf("op %d", uint8(op))
	}
	return opNames[op]
}

func (op Op) bit() int64 { return 1 << op }

// In tells whether a set of operations, as [Writer.Ops] gives it, has this one.
func (op Op) In(ops int64) bool { return ops&op.bit() != 0 }
