package params

// Kind is the sort of value that a parameter takes, whatever the Go type behind it.
type Kind int

// The kinds.
const (
	Invalid  Kind = iota
	String        // string and named types of it, [Secret] too
	Bool          // bool
	Int           // int to int64
	Uint          // uint to uint64
	Float         // float32, float64
	Duration      // time.Duration
	Time          // time.Time
	ObjectID      // bson.ObjectID
	Decimal       // bson.Decimal128
	UUID          // bson.Binary of the UUID subtype
	Text          // encoding.TextUnmarshaler
	List          // slice
	Map           // map with string keys
	Struct        // nested struct; a field of this kind appears only as an item of a list or map
)

// String returns the word that help pages print.
func (k Kind) String() string {
	switch k {
	case String:
		return "string"
	case Bool:
		return "bool"
	case Int, Uint:
		return "int"
	case Float:
		return "number"
	case Duration:
		return "duration"
	case Time:
		return "time"
	case ObjectID:
		return "objectid"
	case Decimal:
		return "decimal"
	case UUID:
		return "uuid"
	case Text:
		return "text"
	case List:
		return "list"
	case Map:
		return "map"
	case Struct:
		return "object"
	case Invalid:
	}
	return "invalid"
}

// scalar tells whether one word on a command line can be a value of this kind.
func (k Kind) scalar() bool { return k != List && k != Map && k != Struct }
