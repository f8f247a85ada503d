package params

import (
	"errors"
	"strings"
)

// Error is everything that is wrong with some input, not only the first thing.
type Error struct {
	Problems []Problem `json:"problems"`
}

// Error returns one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Problem is one thing that is wrong with one parameter.
type Problem struct {
	// Field is the path of the parameter, such as "source.coll". It is empty when the problem is about the whole input.
	Field string `json:"field,omitempty"`
	// Name is how the user of this input knows the parameter: "--batch-size", "APP_BATCH_SIZE", "batch-size (file)".
	// It is empty where Message names the parameter already.
	Name string `json:"name,omitempty"`
	// Value is what was given, shortened; that of a secret is never told.
	Value string `json:"value,omitempty"`
	// Message says what is wrong and reads well after the name and a colon.
	Message string `json:"message"`
	// Allowed says what would be right, where that is not a matter of type only: "1 to 1000", "fast, slow".
	Allowed string `json:"allowed,omitempty"`
	// Suggestion is the nearest thing that would be right, if there is one.
	Suggestion string `json:"suggestion,omitempty"`
	// Origin is the input that the value came from. It is empty for a value that is missing.
	Origin Origin `json:"origin,omitempty"`
}

// String returns the problem as one line.
func (p Problem) String() string {
	s := p.Message
	if p.Name != "" {
		s = p.Name + ": " + s
	}
	if p.Suggestion != "" {
		s += ". Did you mean " + p.Suggestion + "?"
	}
	return s
}

// Join makes one error of several, so that a user sees the problems of parsing and of filling together. Errors of
// other types come first and stay reachable by [errors.Is] and [errors.As]. It returns nil when all are nil.
func Join(errs ...error) error {
	var all Error
	var others []error
	for _, err := range errs {
		// Only a bare *Error is taken apart; a wrapped one keeps its words.
		if e, ok := errors.AsType[*Error](err); ok && errors.Is(e, err) {
			all.Problems = append(all.Problems, e.Problems...)
		} else if err != nil {
			others = append(others, err)
		}
	}
	if len(all.Problems) == 0 {
		return errors.Join(others...)
	}
	if len(others) == 0 {
		return &all
	}
	return errors.Join(append(others, &all)...)
}

// asError returns nil, not a typed nil, when there is no problem.
func asError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{Problems: problems}
}
