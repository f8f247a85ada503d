// Package faults holds the tests that make things go wrong around whole programs: processes that are killed, frozen and
// told to end, replica sets that lose their primary or their majority, commits whose answer is lost, networks that are cut. They
// use package faultrig, and docs/reliability.md lists what they cover.
//
// By default each test does as many rounds as a few seconds hold. The variable RIKKI_FAULTS multiplies them: RIKKI_FAULTS=10.
package faults
