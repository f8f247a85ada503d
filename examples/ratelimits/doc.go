// Package ratelimits is what two scripts share: the limits of an API's error
// reports, which are kept in the config rate-limits, and a limiter that obeys
// them.
//
// The scripts are beside it, each with a command line of its own:
//
//	go run ./examples/ratelimits/init --dry-run
//	go run ./examples/ratelimits/init --force --timeout=60000
//	go run ./examples/ratelimits/test
//
// Directory before has both as they were without Rikki, to be compared.
package ratelimits
