// Command script is one findOne as a script with a command line of its own.
package main

import (
	"github.com/rikki-go/rikki/bench/findone"
	"github.com/rikki-go/rikki/cli"
)

func main() { cli.MainScript(&findone.FindOne{}) }
