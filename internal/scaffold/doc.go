// Package scaffold writes the files that `rikki new` starts an author off with: a script with its test, or a whole
// app.
//
// A [Plan] is made first and written second, so that nothing is written when anything is in the way: existing files
// are never overwritten, and a plan that fails half-way takes its own files back.
package scaffold
