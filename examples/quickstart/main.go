// Command quickstart is Rikki in a minute: one script, and a MongoDB that it fetches and starts by itself.
//
//	go run ./examples/quickstart run lowercase-emails
//	go run ./examples/quickstart runs list
//
// Set MONGODB_URI, and the same script runs on a MongoDB of yours.
package main

import (
	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
)

func main() {
	cli.App{
		Name:        "quickstart",
		Description: "quickstart shows what a script on MongoDB looks like with Rikki.",
		Embedded:    true,
		Seed:        seed,
		Scripts:     []rikki.Script{&LowercaseEmails{}},
	}.Main()
}
