// Package locked has what tests read while a program still writes to it.
package locked
