// Package store reads and writes Rikki's own collections, and is the only one that does.
package store
