package params

import (
	"slices"
	"strings"
)

// FromEnv reads environment variables through lookup, usually [os.LookupEnv]: those of the tag env first, then
// the prefix followed by the path in capitals (LOWERCASE_SOURCE_COLL for source.coll). Without a prefix there are no
// automatic names, for a field called Path or User must not take what every environment has. A blank variable counts as
// missing. [Spec.Fill] reports what is wrong with the values.
func (s *Spec) FromEnv(lookup func(string) (string, bool), prefix string) Layer {
	l := newLayer(OriginEnv)
	for _, n := range s.leaves() {
		for _, name := range n.envNames(prefix) {
			value, ok := lookup(name)
			if !ok || strings.TrimSpace(value) == "" {
				continue
			}
			raw, problems := n.fromText(value, place{n.path, name, OriginEnv})
			if len(problems) > 0 {
				raw = flaw{message: problems[0].Message, allowed: problems[0].Allowed}
			}
			l.values[n.path] = entry{raw, name}
			break
		}
	}
	return l
}

func (n *node) envNames(prefix string) []string {
	names := n.tags.env
	if prefix != "" {
		names = append(slices.Clip(names), prefix+envName(n.path))
	}
	return names
}
