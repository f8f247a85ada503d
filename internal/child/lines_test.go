package child

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReadLines(t *testing.T) {
	t.Parallel()

	type line struct {
		Text        string
		Overwritten bool
	}
	tests := []struct {
		name, in string
		want     []line
	}{
		{"Nothing", "", nil},
		{"Plain", "a\nb\n", []line{{"a", false}, {"b", false}}},
		{"NoEnd", "a", []line{{"a", false}}},
		{"Windows", "a\r\nb\r\n", []line{{"a", false}, {"b", false}}},
		{"ProgressDisplay", "1%\r2%\rdone\n", []line{{"1%", true}, {"2%", true}, {"done", false}}},
		{"LoneReturnAtTheEnd", "1%\r", []line{{"1%", false}}},
		{"Empty", "\n\n", []line{{"", false}, {"", false}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
				var got []line
				readLines(r, func(l Line) { got = append(got, line{string(l.Text), l.Overwritten}) })
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
