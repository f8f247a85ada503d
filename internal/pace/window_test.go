package pace

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestWindow(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		window, at string
		open       bool
		opens      string
	}{
		{"22:00-05:00", "2026-06-01T21:59:59+02:00", false, "2026-06-01T22:00:00+02:00"},
		{"22:00-05:00", "2026-06-01T22:00:00+02:00", true, ""},
		{"22:00-05:00", "2026-06-02T04:59:59+02:00", true, ""},
		{"22:00-05:00", "2026-06-02T05:00:00+02:00", false, "2026-06-02T22:00:00+02:00"},
		{"22:00-05:00", "2026-06-01T20:30:00Z", true, ""},
		{"09:00-17:30", "2026-06-01T17:30:00+02:00", false, "2026-06-02T09:00:00+02:00"},
		{"09:00-17:30", "2026-06-01T17:29:00+02:00", true, ""},
		{"20:00-24:00", "2026-06-01T23:59:59+02:00", true, ""},
		{"20:00-24:00", "2026-06-02T00:00:00+02:00", false, "2026-06-02T20:00:00+02:00"},
		{"02:00-04:00", "2026-03-29T01:59:00+01:00", false, "2026-03-29T03:00:00+02:00"}, // two o'clock doesn't exist
		{"02:00-03:00", "2026-10-25T02:30:00+01:00", true, ""},                           // the second time
	} {
		w, err := ParseWindow(tc.window, berlin)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, tc.at)
		if got := w.Open(at); got != tc.open {
			t.Errorf("%s at %s: open %v", w, tc.at, got)
		}
		want := at
		if tc.opens != "" {
			want, _ = time.Parse(time.RFC3339, tc.opens)
		}
		if got := w.Opens(at); !got.Equal(want) {
			t.Errorf("%s at %s: opens %s, want %s", w, tc.at, got, want)
		}
	}
	if !(Window{}).Open(time.Now()) || (Window{}).String() != "" {
		t.Error("no window is not the whole day")
	}
}

func TestBadWindows(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"22-5", "22:00", "22:00-", "25:00-05:00", "22:60-05:00", "22:00-24:01", "22:00-22:00", "2:00-5:00", "22:00-05:00x", " 22:00-05:00", "-1:00-05:00", "22:00–05:00"} {
		if w, err := ParseWindow(text, nil); err == nil {
			t.Errorf("%q was taken as %s", text, w)
		}
	}
	if w, err := ParseWindow("22:00-05:00", nil); err != nil || w.String() != "22:00-05:00 UTC" {
		t.Errorf("%s, %v", w, err)
	}
}
