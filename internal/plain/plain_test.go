package plain

import (
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLine(t *testing.T) {
	t.Parallel()

	tests := []struct{ name, in, want string }{
		{"CleanTextStays", "naïve 日本語 👩‍🚀 a=b", "naïve 日本語 👩‍🚀 a=b"},
		{"ColoursGo", "\x1b[1;31mred\x1b[0m", "red"},
		{"TitleGoesWithItsPayload", "a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"},
		{"C1IntroducersCount", "a\u009b2Jb\u009d0;t\u009cc", "abc"},
		{"DeviceControlGoes", "a\x1bP1$r0m\x1b\\b", "ab"},
		{"CharsetAndResetGo", "a\x1b(0b\x1bcd", "abd"},
		{"UnfinishedTitleStaysReadable", "a\x1b]0;title", "a0;title"},
		{"UnfinishedSequenceStaysReadable", "a\x1b[12", "a12"},
		{"LoneEscapeGoes", "a\x1b", "a"},
		{"LineFeedIsShown", "a\nb", `a\nb`},
		{"CarriageReturnGoes", "100%\rforged", "100%forged"},
		{"TabIsASpace", "a\tb", "a b"},
		{"BackspaceAndBellGo", "a\b\ab", "ab"},
		{"OverridesGo", "a\u202eb\u2066c\u2069", "abc"},
		{"LineSeparatorsGo", "a\u2028b\u2029c", "abc"},
		{"InvalidUTF8IsReplaced", "a\xff\x9bb", "a��b"},
		{"ReplacementCharacterStays", "a�b", "a�b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Line(test.in); got != test.want {
				t.Errorf("Line(%q) = %q, want %q", test.in, got, test.want)
			}
		})
	}

	t.Run("BlockKeepsLinesAndTabs", func(t *testing.T) {
		t.Parallel()
		if got := Block("a\n\tb\x1b[0m\r\n"); got != "a\n\tb\n" {
			t.Errorf("Block = %q", got)
		}
	})
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"a\x1b]0;pwned\x07b\x1b[2J\x1b[31mc\x1b[1A\rd\nerror: forged\u202e\u009b1;1H\x00\x7f", "", "plain", "\x1b", "\x1b[", "\x1b]", "\u009b", "\x1b]\x1b]\x1b\\", "\xff\x1b[\xff", "\x1b[31\x1b[0m", "\x1bP\n\x1b\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		one, block := Line(s), Block(s)
		for _, r := range one {
			if Unsafe(r) || r == '\n' || r == '\t' {
				t.Fatalf("Line(%q) = %q contains %U", s, one, r)
			}
		}
		for _, r := range block {
			if Unsafe(r) {
				t.Fatalf("Block(%q) = %q contains %U", s, block, r)
			}
		}
		if !utf8.ValidString(one) || !utf8.ValidString(block) {
			t.Fatalf("%q became invalid UTF-8", s)
		}
		if again := Line(one); again != one {
			t.Fatalf("not idempotent: %q, then %q", one, again)
		}
		if again := Block(block); again != block {
			t.Fatalf("not idempotent: %q, then %q", block, again)
		}
		if strings.Count(block, "\n") > strings.Count(s, "\n") {
			t.Fatalf("Block(%q) has more lines: %q", s, block)
		}
	})
}
