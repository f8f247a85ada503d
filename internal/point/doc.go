// Package point names the places in the code where a crash is worth a test: behind a write that was acknowledged, before a
// commit, in the middle of giving something back.
//
//	point.Reached("chunk.before-commit")
//
// In a program nothing hooks them, and reaching one costs a look at a pointer. Package internal/faultrig hooks them in a test's
// worker process, which then says that it has reached the point and stops there until it is killed.
package point
