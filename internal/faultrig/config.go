//go:build linux

package faultrig

import (
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Hide makes a secondary a hidden member without a vote, which is late on purpose if delay isn't 0: the kind that people keep for backups
// and reports. It is for sets of the test's own.
func (s *Set) Hide(t testing.TB, i int, delay time.Duration) {
	t.Helper()
	primary := s.nodes[s.Primary(t)]
	var answer struct{ Config bson.D }
	if err := primary.run(t.Context(), bson.D{{Key: "replSetGetConfig", Value: 1}}, &answer); err != nil {
		t.Fatal(err)
	}
	for n, field := range answer.Config {
		switch field.Key {
		case "version":
			answer.Config[n].Value = field.Value.(int32) + 1 //nolint:forcetypeassert // it is one
		case "members":
			members := field.Value.(bson.A)                   //nolint:forcetypeassert // it is one
			members[i] = special(members[i].(bson.D), bson.D{ //nolint:forcetypeassert // it is one
				{Key: "hidden", Value: true}, {Key: "priority", Value: 0}, {Key: "votes", Value: 0}, {Key: "secondaryDelaySecs", Value: int64(delay.Seconds())},
			})
		}
	}
	if err := primary.run(t.Context(), bson.D{{Key: "replSetReconfig", Value: answer.Config}}, nil); err != nil {
		t.Fatalf("hide member %d: %v", i, err)
	}
}

func special(member, with bson.D) bson.D {
	member = slices.DeleteFunc(member, func(e bson.E) bool {
		return slices.ContainsFunc(with, func(other bson.E) bool { return other.Key == e.Key })
	})
	return append(member, with...)
}
