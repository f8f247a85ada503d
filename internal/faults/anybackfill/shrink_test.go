//go:build linux

package anybackfill

import (
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// mostShrinking is how long a case is made smaller.
const mostShrinking = 25 * time.Second

// shrink makes a case smaller for as long as it fails in the same way.
func (h *hunt) shrink(c *Case, f *Finding, log []string) (*Case, []string, error) {
	until := time.Now().Add(mostShrinking)
	best, bestErr := c, error(f)
	fails := func(s *Case) bool {
		if time.Now().After(until) {
			return false
		}
		tries := 1
		if len(s.Events) > 0 || byChance(s.Script.Filter) || byChance(s.Script.Update) {
			tries = 3
		}
		for range tries {
			l, err := h.run(s)
			if got, ok := errors.AsType[*Finding](err); ok && got.Kind == f.Kind {
				best, bestErr, log = s, err, l
				return true
			}
		}
		return false
	}
	for changed := true; changed && time.Now().Before(until); {
		changed = slices.ContainsFunc(simpler(best), fails)
	}
	return best, log, bestErr
}

// simpler are cases that are a step simpler, those with the greatest steps first.
func simpler(c *Case) (list []*Case) {
	try := func(change func(*Case)) {
		s := c.clone()
		change(s)
		if asJSON(s) != asJSON(c) {
			list = append(list, s)
		}
	}
	n := len(c.Coll.Docs)
	for part := n / 2; part >= 1; part /= 2 {
		for at := 0; at+part <= n; at += part {
			if len(list) > 40 && part < n/8 {
				break
			}
			try(func(s *Case) { s.Coll.Docs = append(s.Coll.Docs[:at:at], s.Coll.Docs[at+part:]...) })
		}
	}
	rows := len(c.Script.Rows)
	for part := rows / 2; part >= 1; part /= 2 {
		for at := 0; at+part <= rows; at += part {
			try(func(s *Case) { s.Script.Rows = append(s.Script.Rows[:at:at], s.Script.Rows[at+part:]...) })
		}
	}
	for i := range c.Steps {
		try(func(s *Case) { s.Steps = append(s.Steps[:i:i], s.Steps[i+1:]...) })
		try(func(s *Case) { s.Steps[i].Events = nil })
	}
	for i := range c.Events {
		try(func(s *Case) { s.Events = append(s.Events[:i:i], s.Events[i+1:]...) })
	}
	for i := range c.Coll.Indexes {
		try(func(s *Case) { s.Coll.Indexes = append(s.Coll.Indexes[:i:i], s.Coll.Indexes[i+1:]...) })
	}
	if len(c.Script.Acts) > 1 {
		for i := range c.Script.Acts {
			try(func(s *Case) { s.Script.Acts = []Act{s.Script.Acts[i]} })
		}
	}
	try(func(s *Case) { s.Dry = false })
	try(func(s *Case) { s.Coll.Validator, s.Coll.Level = "", "" })
	try(func(s *Case) { s.Coll.Collation = "" })
	try(func(s *Case) { s.Coll.Other = nil })
	try(func(s *Case) {
		if s.Script.Kind != kindRows {
			s.Script.Filter = "{}"
		}
	})
	try(func(s *Case) { s.Script.Stages = "" })
	try(func(s *Case) { s.Script.Projection = "" })
	try(func(s *Case) { s.Script.Again = false })
	try(func(s *Case) { s.Knobs.Only = nil })
	try(func(s *Case) { s.Knobs.Limit = 0 })
	try(func(s *Case) { s.Knobs.Fields = nil })
	try(func(s *Case) { s.Knobs.Journal = "" })
	try(func(s *Case) { s.Knobs.Workers = 1 })
	try(func(s *Case) { s.Knobs.MaxFailures = nil })
	try(func(s *Case) { s.Knobs.Hold = false })
	try(func(s *Case) { s.Knobs.Key = "" })
	try(func(s *Case) { s.Standalone = false })
	if n <= 6 {
		for i, d := range c.Coll.Docs {
			elements, _ := d.raw().Elements()
			for j, e := range elements {
				if e.Key() == "_id" {
					continue
				}
				try(func(s *Case) {
					out := bson.D{}
					for k, e := range elements {
						if k != j {
							out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
						}
					}
					if data, err := bson.Marshal(out); err == nil {
						s.Coll.Docs[i] = data
					}
				})
			}
		}
	}
	return list
}
