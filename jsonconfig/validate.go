package jsonconfig

import (
	"fmt"
	"regexp"
	"slices"
)

// MaxValueSize is the most that a value may take, as BSON.
const MaxValueSize = 4 << 20

// maxKeyLength keeps keys readable, and index entries small.
const maxKeyLength = 128

var validKey = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)

// contentOf checks a config from its author and returns what to store. The
// error lists all problems at once.
func contentOf(cfg Config) (content, error) {
	var problems []string
	problems = checkKey(problems, "slug", cfg.Slug)
	seen := []string{cfg.Slug}
	for _, alias := range cfg.Aliases {
		if slices.Contains(seen, alias) {
			problems = append(problems, fmt.Sprintf("alias %q is there twice, or is the slug: leave it out", alias))
			continue
		}
		problems = checkKey(problems, "alias", alias)
		seen = append(seen, alias)
	}
	value, err := encode(cfg.Value)
	switch {
	case err != nil:
		problems = append(problems, err.Error())
	case len(value.Value) > MaxValueSize:
		problems = append(problems, fmt.Sprintf("the value takes %d bytes: at most %d are possible", len(value.Value), MaxValueSize))
	}
	if len(problems) > 0 {
		return content{}, &InvalidError{Slug: cfg.Slug, Problems: problems}
	}
	return content{
		Keys:        seen,
		Name:        cfg.Name,
		Description: cfg.Description,
		Value:       value,
	}, nil
}

func checkKey(problems []string, what, key string) []string {
	switch {
	case key == "":
		return append(problems, fmt.Sprintf("the %s is empty: name the config, such as rate-limits", what))
	case len(key) > maxKeyLength:
		return append(problems, fmt.Sprintf("%s %q… has %d characters: at most %d are possible", what, key[:16], len(key), maxKeyLength))
	case !validKey.MatchString(key):
		return append(problems, fmt.Sprintf("%s %q: use letters, digits, '.', '_', '/' and '-', and begin with a letter or digit", what, key))
	}
	return problems
}
