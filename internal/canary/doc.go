// Package canary has one test: it runs a whole program with secrets in every
// place that can hold one, through success and failure, at the most talkative
// level, and looks for the secrets in everything that comes out and is kept.
package canary
