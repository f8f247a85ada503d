package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/rikki-go/rikki/embedded"
)

// A server whose data survives, shared by all processes that name the directory.
func ExampleStart() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, &embedded.Options{Dir: ".rikki/mongod"})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Stop(ctx)
	fmt.Println("connect to", server.URI())
}

// A download ahead of time, with its progress.
func ExampleFetch() {
	binary, err := embedded.Fetch(context.Background(), &embedded.Options{
		Progress: func(p embedded.Progress) { fmt.Printf("\r%s: %d of %d bytes", p.Name, p.Done, p.Total) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(binary.Path)
}

// Every error says what failed, why, and what to do.
func ExampleError() {
	_, err := embedded.Start(context.Background(), &embedded.Options{Binary: "/no/such/mongod"})
	if explained, ok := errors.AsType[*embedded.Error](err); ok {
		fmt.Println("error:", explained.What)
		fmt.Println("  why:", explained.Why)
		fmt.Println("  fix:", explained.Fix)
	}
	fmt.Println(errors.Is(err, embedded.ErrNoBinary))
	// Output:
	// error: cannot use the mongod that Options.Binary names
	//   why: stat /no/such/mongod: no such file or directory
	//   fix: name the mongod binary itself, or leave Options.Binary empty and let Rikki find one
	// true
}
