package term

import (
	"math"
	"testing"
	"time"
)

func TestHuman(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	tests := []struct{ name, got, want string }{
		{"Microseconds", Duration(400 * time.Microsecond), "400µs"},
		{"Milliseconds", Duration(840 * time.Millisecond), "840ms"},
		{"SecondsWithTenth", Duration(2390 * time.Millisecond), "2.3s"},
		{"Seconds", Duration(42*time.Second + 900*time.Millisecond), "42s"},
		{"Minutes", Duration(5*time.Minute + 22*time.Second), "5m22s"},
		{"MinutesPadSeconds", Duration(3*time.Minute + 5*time.Second), "3m05s"},
		{"Hours", Duration(2*time.Hour + 5*time.Minute), "2h05m"},
		{"Days", Duration(76 * time.Hour), "3d04h"},
		{"Negative", Duration(-90 * time.Second), "-1m30s"},
		{"SmallestDuration", Duration(math.MinInt64), "-106751d23h"},
		{"CountSmall", Count(999), "999"},
		{"CountThousands", Count(999997), "999,997"},
		{"CountMillions", Count(1000000), "1,000,000"},
		{"CountNegative", Count(-12345), "-12,345"},
		{"CountSmallest", Count(math.MinInt64), "-9,223,372,036,854,775,808"},
		{"Rate", Rate(3119.7), "3,120"},
		{"RateSlow", Rate(3.24), "3.2"},
		{"RateBetween", Rate(9.97), "10"},
		{"RateNothing", Rate(0), "0"},
		{"RateNaN", Rate(math.NaN()), "0"},
		{"RateInfinite", Rate(math.Inf(1)), "0"},
		{"Bytes", Bytes(512), "512 B"},
		{"BytesKilo", Bytes(4200), "4.2 kB"},
		{"BytesMega", Bytes(17_300_000), "17 MB"},
		{"BytesJustBelow", Bytes(999_900), "1.0 MB"},
		{"BytesLargest", Bytes(math.MaxInt64), "9.2 EB"},
		{"AgoNow", Ago(now.Add(-time.Second), now), "just now"},
		{"AgoSeconds", Ago(now.Add(-42*time.Second), now), "42 s ago"},
		{"AgoMinutes", Ago(now.Add(-200*time.Second), now), "3 min ago"},
		{"AgoHours", Ago(now.Add(-5*time.Hour), now), "5 h ago"},
		{"AgoDays", Ago(now.Add(-50*time.Hour), now), "2 d ago"},
		{"AgoDate", Ago(now.Add(-30*24*time.Hour), now), "2026-10-24"},
		{"AgoFuture", Ago(now.Add(5*time.Minute), now), "in 5 min"},
		{"AgoFutureJustSet", Ago(now.Add(2*time.Hour-3*time.Second), now), "in 2 h"},
		{"AgoNever", Ago(time.Time{}, now), "-"},
		{"Time", Time(now), "2026-11-23 10:00:00"},
		{"TimeNever", Time(time.Time{}), "-"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.got != test.want {
				t.Errorf("got %q, want %q", test.got, test.want)
			}
		})
	}
}
