// Package lease keeps a lease alive and tells its holder, in time, that it must stop.
package lease
