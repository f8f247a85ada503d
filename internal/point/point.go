package point

import "sync/atomic"

// hook is what happens at a point. There is one for the process, since a crash is one of the process.
var hook atomic.Pointer[func(name string)] //nolint:gochecknoglobals // see above

// Reached says that the code has come to the point of this name: lower-case words, the part that it is in first.
func Reached(name string) {
	if f := hook.Load(); f != nil {
		(*f)(name)
	}
}

// Hook has f called at every point, by the goroutine that reaches it, until undo is called. Only tests may call it.
func Hook(f func(name string)) (undo func()) {
	before := hook.Swap(&f)
	return func() { hook.Store(before) }
}
