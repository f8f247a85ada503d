package rikki

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProgress(t *testing.T) {
	t.Parallel()

	tests := []struct {
		in   string
		want *execProgress
	}{
		{" 30/100", &execProgress{30, 100, ""}},
		{": 30 / 100", &execProgress{30, 100, ""}},
		{"=1_000/2,000,000 users done", &execProgress{1_000, 2_000_000, "users done"}},
		{" 30%", &execProgress{30, 100, ""}},
		{" 99.7 % of users", &execProgress{99, 100, "of users"}},
		{" of 30/100", nil},
		{" 30", nil},
		{" -1/100", nil},
		{" 30/100done", nil},
		{" 99999999999999999999/1", nil},
		{"ive 30%", nil},
		{"", nil},
	}
	for _, test := range tests {
		got, ok := parseProgress(test.in)
		if ok != (test.want != nil) {
			t.Errorf("%q: %v %+v, want %+v", test.in, ok, got, test.want)
		} else if ok && got != *test.want {
			t.Errorf("%q: %s", test.in, cmp.Diff(*test.want, got, cmp.AllowUnexported(execProgress{})))
		}
	}
}

func TestTellingLine(t *testing.T) {
	t.Parallel()

	for line, want := range map[string]bool{
		"TypeError: x is not a function": true, "Uncaught MongoServerError: nope": true, "error: no": true, "panic: boom": true,
		"java.lang.IllegalStateException: no": true, "Error": false, "    at Error: x": false, "Node.js v20": false,
		"/srv/old/Error: x": false, "note: it works": false, "": false,
	} {
		if got := tellingLine([]byte(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
