// Package vet has the analyzer that finds Go code which connects to MongoDB by hand, for go vet. It sees types, and so
// also what package audit, which reads one file at a time, can't be sure of.
package vet
