package term

import "fmt"

// ColorMode is the value of --color.
type ColorMode string

// The three values of --color. The zero value means auto.
const (
	ColorAuto   ColorMode = "auto"
	ColorAlways ColorMode = "always"
	ColorNever  ColorMode = "never"
)

// ParseColor reads the value of --color.
func ParseColor(s string) (ColorMode, error) {
	switch m := ColorMode(s); m {
	case "":
		return ColorAuto, nil
	case ColorAuto, ColorAlways, ColorNever:
		return m, nil
	default:
		return "", fmt.Errorf("--color: %q is not one of auto, always, never", s)
	}
}

// colored decides for one stream: the flag wins, then NO_COLOR, then CLICOLOR_FORCE and FORCE_COLOR, then TERM=dumb,
// then whether the stream is a terminal.
func colored(mode ColorMode, getenv func(string) string, tty bool) bool {
	switch mode {
	case ColorAlways:
		return true
	case ColorNever:
		return false
	case ColorAuto:
	}
	switch {
	case getenv("NO_COLOR") != "":
		return false
	case forced(getenv("CLICOLOR_FORCE")), forced(getenv("FORCE_COLOR")):
		return true
	case getenv("TERM") == "dumb":
		return false
	}
	return tty
}

// forced follows the convention of both variables: set, and not an explicit "no".
func forced(v string) bool { return v != "" && v != "0" && v != "false" }

// style is one SGR code. It is applied after text was sanitized and fitted, never before.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// paint wraps s in the style where colour is on.
func paint(on bool, st style, s string) string {
	if !on || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}
