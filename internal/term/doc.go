// Package term is everything the command line shows and asks.
//
// A [Term] knows three streams and what each of them is: stdout carries results only, stderr carries progress, logs
// and prompts, and both are looked at separately, because `rikki runs list | less` pipes one and not the other.
//
// # Untrusted text
//
// Parameters, log messages, error texts and documents come from scripts and from the database. A value such as
// "\x1b]0;…" or "done\nerror: …" must neither steer the reader's terminal nor forge a line. Every printer in this
// package passes data through the term's redactor and through [Sanitize] (one line) or [Block] (many lines);
// JSON output escapes the same characters and so loses nothing.
//
// # Progress
//
// A [Bar] is one of three things that look the same to the caller: a live block of at most four lines on a terminal,
// redrawn at most ten times a second with log lines scrolling above it; one key=value line per ten seconds or five
// per cent elsewhere; or nothing, for --quiet and --json.
package term
