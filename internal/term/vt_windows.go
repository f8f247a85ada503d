package term

import (
	"os"

	"golang.org/x/sys/windows"
)

// enableVT asks the consoles behind the streams to understand escape sequences, as consoles older than Windows
// Terminal do only on request. A console that refuses is left as it is.
func enableVT(streams ...any) (restore func()) {
	var undo []func()
	for _, s := range streams {
		f, ok := s.(*os.File)
		if !ok || f == nil {
			continue
		}
		h := windows.Handle(f.Fd())
		var mode uint32
		if windows.GetConsoleMode(h, &mode) != nil {
			continue
		}
		if windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil {
			undo = append(undo, func() { _ = windows.SetConsoleMode(h, mode) })
		}
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}
