//go:build !windows

package term

// enableVT has nothing to do: terminals here understand escape sequences by themselves.
func enableVT(...any) (restore func()) { return func() {} }
