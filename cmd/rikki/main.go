// Command rikki is the command line without scripts of its own: it looks at the history, starts a MongoDB for
// development, keeps configs, finds faults and makes new scripts.
package main

import "github.com/rikki-go/rikki/cli"

func main() { cli.Main() }
