package schedule

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/occurrence"
	"github.com/rikki-go/rikki/internal/store"
)

// compiled is a definition that was found right, and what follows from it.
type compiled struct {
	def  store.ScheduleDefinition
	plan *occurrence.Plan
	rule occurrence.CatchUp
}

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

const maxName = 100

// compile checks everything about a definition but whether it lies in the past.
func compile(app *rikki.App, s Schedule) (*compiled, error) {
	s.Name = cmp.Or(s.Name, s.Script)
	var ps problems
	if s.Script == "" {
		ps.add("script", "no script is named", "say what is to run")
		return nil, ps.err(s.Name)
	}
	if !validName.MatchString(s.Name) || len(s.Name) > maxName {
		ps.add("name", fmt.Sprintf("%q is no valid name", s.Name), "use lower-case letters, digits and single dashes, at most 100")
	}
	input, err := app.Input(s.Script, s.Params)
	if unknown, ok := err.(*rikki.UnknownScriptError); ok { //nolint:errorlint // it is returned as it is
		return nil, unknown
	}
	ps.take(err)
	s.Description = strings.TrimSpace(s.Description)
	s.check(&ps, len(input))
	c := plan(&ps, s.Name, s.stored(string(input)))
	if err := ps.err(s.Name); err != nil {
		return nil, err
	}
	return c, nil
}

// check finds what is wrong beside the times, which package occurrence knows about.
func (s Schedule) check(ps *problems, input int) {
	if len(s.Description) > maxText {
		ps.add("description", "it is longer than 500 characters", "say it in one sentence")
	}
	if input > maxInput {
		ps.add("params", "the parameters are larger than 256 KiB", "keep them in a collection, and pass its name")
	}
	switch s.Overlap {
	case "", Skip, Queue, Allow:
	default:
		ps.add("overlap", fmt.Sprintf("there is no policy %q", s.Overlap), "use skip, queue or allow")
	}
	if s.MaxRuns < 0 {
		ps.add("max-runs", fmt.Sprintf("%d is negative", s.MaxRuns), "use 0 for no limit")
	}
	if s.PauseAfter < 0 {
		ps.add("pause-after", fmt.Sprintf("%d is negative", s.PauseAfter), "use 0 for never")
	}
	if s.Cap < 0 || s.Cap > maxOpen {
		ps.add("cap", fmt.Sprintf("%d is not within 0 to %d", s.Cap, maxOpen), "use 0 for the default, 100")
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"window", s.Window}, {"jitter", s.Jitter}, {"timeout", s.Timeout}} {
		if d.value%time.Millisecond != 0 && d.value > 0 {
			ps.add(d.field, fmt.Sprintf("%v is not in whole milliseconds, which is all that MongoDB keeps", d.value), "round it")
		}
	}
}

// stored is the definition as it is kept. What is left out and what says the default are the same.
func (s Schedule) stored(input string) store.ScheduleDefinition {
	if input == "{}" {
		input = ""
	}
	def := store.ScheduleDefinition{
		Script: s.Script, Description: s.Description, Input: input,
		Cron: strings.TrimSpace(s.Cron), Seconds: s.Seconds, Every: s.Every.Milliseconds(), Zone: cmp.Or(s.Zone, "UTC"),
		Jitter: s.Jitter.Milliseconds(), MaxRuns: s.MaxRuns, Overlap: string(cmp.Or(s.Overlap, Skip)), CatchUp: string(cmp.Or(s.CatchUp, CatchUpOnce)),
		Window: s.Window.Milliseconds(), Cap: s.Cap, PauseAfter: s.PauseAfter, Priority: s.Priority, Timeout: s.Timeout.Milliseconds(),
		Anchor: instant(s.Anchor), Once: instant(s.Once), Start: instant(s.Start), End: instant(s.End),
	}
	if s.Window < 0 {
		def.Window = -1
	}
	if s.Timeout < 0 {
		def.Timeout = -1
	}
	// Below a millisecond nothing is kept, and 0 would mean that nothing was said.
	if def.Every == 0 && s.Every != 0 {
		def.Every = -1
	}
	if def.Jitter == 0 && s.Jitter < 0 {
		def.Jitter = -1
	}
	return def
}

// instant is a time as MongoDB gives it back.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Truncate(time.Millisecond).UTC()
}

// compileStored makes the plan of a definition that may have been stored by another version of the program.
func compileStored(name string, def store.ScheduleDefinition) (*compiled, error) {
	var ps problems
	c := plan(&ps, name, def)
	if err := ps.err(name); err != nil {
		return nil, err
	}
	return c, nil
}

func plan(ps *problems, name string, def store.ScheduleDefinition) *compiled {
	rule := occurrence.CatchUp{Policy: occurrence.Policy(def.CatchUp), Window: millis(def.Window), Cap: def.Cap}
	ps.take(rule.Check())
	plan, err := occurrence.Parse(occurrence.Definition{
		Key: name, Cron: def.Cron, WithSeconds: def.Seconds, Every: millis(def.Every), Anchor: def.Anchor, Once: def.Once,
		Zone: def.Zone, Start: def.Start, End: def.End, Jitter: millis(def.Jitter),
	})
	ps.take(err)
	return &compiled{def: def, plan: plan, rule: rule}
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// hash identifies a definition.
func hash(def store.ScheduleDefinition) string {
	data, err := bson.Marshal(def)
	if err != nil {
		return "" // strings, numbers and times always have a form
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12])
}

// sameTiming tells whether two definitions name the same slots.
func sameTiming(a, b store.ScheduleDefinition) bool {
	timing := func(d store.ScheduleDefinition) store.ScheduleDefinition {
		return store.ScheduleDefinition{
			Cron: d.Cron, Seconds: d.Seconds, Every: d.Every, Anchor: d.Anchor, Once: d.Once, Zone: d.Zone,
			Start: d.Start, End: d.End, Jitter: d.Jitter, MaxRuns: d.MaxRuns,
		}
	}
	return hash(timing(a)) == hash(timing(b))
}

// public is the definition in the form in which it is given.
func public(name string, d store.ScheduleDefinition) Schedule {
	s := Schedule{
		Name: name, Script: d.Script, Description: d.Description, Cron: d.Cron, Seconds: d.Seconds, Every: millis(d.Every),
		Anchor: d.Anchor, Once: d.Once, Zone: d.Zone, Start: d.Start, End: d.End, Jitter: millis(d.Jitter), MaxRuns: d.MaxRuns,
		Overlap: Overlap(d.Overlap), CatchUp: CatchUp(d.CatchUp), Window: millis(d.Window), Cap: d.Cap, PauseAfter: d.PauseAfter,
		Priority: d.Priority, Timeout: millis(d.Timeout),
	}
	if d.Input != "" {
		s.Params = json.RawMessage(d.Input)
	}
	return s
}

// differences lists how the stored definition differs from another one, a sentence each.
func differences(stored, other store.ScheduleDefinition, where string) []string {
	var list []string
	a, b := reflect.ValueOf(public("", stored)), reflect.ValueOf(public("", other))
	for i := range a.NumField() {
		x, y := shown(a.Field(i).Interface()), shown(b.Field(i).Interface())
		if x == y {
			continue
		}
		field, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		list = append(list, fmt.Sprintf("%s is %s, and %s says %s", strings.ReplaceAll(field, "_", " "), cmp.Or(x, "not set"), where, cmp.Or(y, "nothing")))
	}
	return list
}

func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	case json.RawMessage:
		var compact bytes.Buffer
		if json.Compact(&compact, v) != nil {
			return string(v)
		}
		return compact.String()
	}
	if reflect.ValueOf(v).IsZero() {
		return ""
	}
	return fmt.Sprint(v)
}
