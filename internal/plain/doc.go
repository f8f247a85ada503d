// Package plain makes text that comes from elsewhere harmless: what a database, a program or a person wrote must not
// steer the terminal that shows it, nor forge lines of a log.
package plain
