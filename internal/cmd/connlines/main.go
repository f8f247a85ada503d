// Command connlines compares how many lines of two scripts are about their connection:
//
//	go run ./internal/cmd/connlines BEFORE AFTER
package main

import (
	"fmt"
	"os"

	"github.com/rikki-go/rikki/internal/connlines"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: connlines BEFORE AFTER")
		os.Exit(2)
	}
	c, err := connlines.Compare(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	for _, side := range []connlines.Count{c.Before, c.After} {
		fmt.Printf("%s: %d lines of code, %d about the connection: %v\n", side.File, side.Code, side.Connection, side.Lines)
	}
	fmt.Print("\n", c.Markdown())
}
