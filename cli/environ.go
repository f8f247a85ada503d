package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/joho/godotenv"

	"github.com/rikki-go/rikki/conn"
)

// environ is what a command knows of its surroundings: the process's environment, behind it what a .env file adds,
// and the program's own file name.
type environ struct {
	lookup func(string) (string, bool)
	file   map[string]string // of the .env file
	path   string            // of the .env file; empty when there is none
	self   string            // os.Args[0]
}

func osEnviron() environ { return environ{lookup: os.LookupEnv, self: os.Args[0]} }

// Lookup returns a variable of the environment or, where that has none, of the .env file.
func (e *environ) Lookup(name string) (string, bool) {
	if v, ok := e.lookup(name); ok {
		return v, true
	}
	v, ok := e.file[name]
	return v, ok
}

// Get is Lookup for those who take an unset variable as a blank one.
func (e *environ) Get(name string) string {
	v, _ := e.Lookup(name)
	return v
}

// load reads the .env file. One that was asked for must be there.
func (e *environ) load(asked string) error {
	path := cmp.Or(asked, ".env")
	vars, err := godotenv.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && asked == "":
		return nil
	case err != nil:
		return &problemError{
			What: "cannot read the environment file " + path, Why: reason(err), Code: ExitUnreachable,
			Fix: "check --env-file: a file with a line NAME=value for each variable", Err: err,
		}
	}
	e.file, e.path = vars, path
	return nil
}

// export puts what the .env file adds into the process's environment, where scripts look for it. The environment
// wins, and it wins whole: a URI that it names in MONGO_URI isn't overruled by a MONGODB_URI of the file.
func (e *environ) export() error {
	for name, value := range e.file {
		if _, ok := e.lookup(name); ok || (isURIVariable(name) && e.namesURI()) {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s from %s: %w", name, e.path, err)
		}
	}
	return nil
}

func uriVariables() []string { return []string{conn.OriginMongoDBURI, conn.OriginMongoURI} }

func isURIVariable(name string) bool {
	return name == conn.OriginMongoDBURI || name == conn.OriginMongoURI
}

// namesURI tells whether the environment itself says where MongoDB is.
func (e *environ) namesURI() bool {
	for _, name := range uriVariables() {
		if v, ok := e.lookup(name); ok && v != "" {
			return true
		}
	}
	return false
}
