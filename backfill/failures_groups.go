package backfill

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"regexp"
	"slices"

	"github.com/rikki-go/rikki"
)

// FailureGroup is failures that are alike: of one class, with the same message but
// for the numbers and quoted texts in it.
type FailureGroup struct {
	Class   string `json:"class"`
	Message string `json:"message"`         // of the first one
	Stack   string `json:"stack,omitempty"` // of the first one that panicked
	Count   int64  `json:"count"`

	// Sample is some of the keys, as canonical extended JSON. Very long ones are left out.
	Sample []json.RawMessage `json:"sample"`
}

const (
	sampleKeys = 5
	// sampleBytes bounds the keys of a sample altogether.
	sampleBytes = 16 << 10
	// maxGroups bounds how many kinds of message are told apart. What comes later is grouped by its class alone, and all of it
	// together when there are as many classes again.
	maxGroups = 200
)

// FailureGroups sums up what a run could not do, the most frequent first.
func FailureGroups(ctx context.Context, app *rikki.App, run string) ([]FailureGroup, error) {
	return groupsOf(Failures(ctx, app, run))
}

func groupsOf(failures iter.Seq2[Failure, error]) ([]FailureGroup, error) {
	var groups []FailureGroup
	known, sampled := make(map[string]int), []int(nil)
	for f, err := range failures {
		if err != nil {
			return nil, err
		}
		name, class, message := f.Class+"\x00"+alike(f.Message), f.Class, f.Message
		if _, ok := known[name]; !ok && len(known) >= maxGroups {
			name, message = class, "other messages"
		}
		if _, ok := known[name]; !ok && len(known) >= 2*maxGroups {
			name, class = "", "other"
		}
		i, ok := known[name]
		if !ok {
			i = len(groups)
			known[name] = i
			groups = append(groups, FailureGroup{Class: class, Message: message})
			sampled = append(sampled, 0)
		}
		groups[i].Count++
		groups[i].Stack = cmp.Or(groups[i].Stack, f.Stack)
		if len(groups[i].Sample) < sampleKeys && sampled[i]+len(f.ID) <= sampleBytes {
			groups[i].Sample = append(groups[i].Sample, f.ID)
			sampled[i] += len(f.ID)
		}
	}
	slices.SortStableFunc(groups, func(a, b FailureGroup) int { return cmp.Compare(b.Count, a.Count) })
	return groups, nil
}

// varying is what differs between messages of one kind: numbers, ids, quoted texts.
var varying = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'|\b[0-9a-fA-F]{16,}\b|\d+(?:\.\d+)?`)

// tellingBytes is how much of a message says of what kind it is.
const tellingBytes = 512

func alike(message string) string {
	return varying.ReplaceAllString(message[:min(len(message), tellingBytes)], "…")
}
