package redact

import "fmt"

// Error returns an error that prints err without its secrets. The chain stays
// whole: errors.Is and errors.As see err and everything it wraps, so what they
// find must pass through r again before it is printed. A nil err stays nil.
func (r *Redactor) Error(err error) error {
	switch err.(type) { //nolint:errorlint // Only an error that is already safe as a whole stays as it is.
	case nil, *safeError:
		return err
	}
	return &safeError{text: r.Text(err.Error()), err: err}
}

// safeError keeps the text from the moment it was made, so that it cannot change
// with the error it covers.
type safeError struct {
	text string
	err  error
}

func (e *safeError) Error() string { return e.text }

func (e *safeError) Unwrap() error { return e.err }

// Format answers every verb with the safe text: %+v and %#v would otherwise
// print the covered error's fields.
func (e *safeError) Format(state fmt.State, verb rune) {
	format := "%s"
	if verb == 'q' {
		format = "%q"
	}
	_, _ = fmt.Fprintf(state, format, e.text)
}

// MarshalText keeps encoders from looking inside.
func (e *safeError) MarshalText() ([]byte, error) { return []byte(e.text), nil }
