package params

import (
	"fmt"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// mask stands for every secret, whatever its length.
const mask = "***"

// Secret is a string that does not show itself: printing, logging and encoding it give "***". Only [Secret.Reveal]
// gives the value. An empty secret shows as nothing.
//
// One thing is out of its reach: package fmt prints an unexported field of a struct without asking its methods.
// Keep secrets in exported fields.
type Secret string

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***".
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString returns what %#v prints.
func (s Secret) GoString() string { return fmt.Sprintf("params.Secret(%q)", s.String()) }

// Format answers every verb of package fmt, also those that would print the bytes.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	switch {
	case verb == 'v' && f.Flag('#'):
		text = s.GoString()
	case verb == 'q':
		text = fmt.Sprintf("%q", text)
	}
	_, _ = f.Write([]byte(text)) // a fmt.State keeps its own error
}

// MarshalText returns "***".
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns "***" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", s.String()), nil }

// MarshalBSONValue returns "***" as a BSON string, so that a secret cannot reach the database by accident.
func (s Secret) MarshalBSONValue() (typ byte, data []byte, err error) {
	t, data, err := bson.MarshalValue(s.String())
	return byte(t), data, err
}

// LogValue returns "***" for package slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
