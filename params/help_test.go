package params

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"time"
)

// Short names for types in tables of tests.
type (
	duration = time.Duration
	when     = time.Time
)

// newOf returns a new struct of the spec's type.
func newOf(s *Spec) any { return reflect.New(s.typ).Interface() }

// errorDump shows all that an error holds, not its text only.
func errorDump(err error) string {
	b, jsonErr := json.Marshal(err)
	if jsonErr != nil {
		return err.Error() + jsonErr.Error()
	}
	return err.Error() + string(b)
}

// openString opens the same text under every name.
func openString(s string) func(string) (io.ReadCloser, error) {
	return func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}
