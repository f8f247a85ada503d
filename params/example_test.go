package params_test

import (
	"fmt"
	"os"
	"time"

	"github.com/rikki-go/rikki/params"
)

// Lowercase is a script; its exported fields are its parameters.
type Lowercase struct {
	BatchSize int           `default:"500" min:"1" help:"Documents per batch."`
	Every     time.Duration `default:"90s" help:"Pause between batches."`
	Only      []string      `help:"Domains to look at."`
	Source    struct {
		Coll string `required:"true" help:"Collection to read."`
	}
	Password params.Secret `env:"MAIL_PASSWORD"`
}

// One struct, from a command line, the environment and its own defaults.
func Example() {
	spec, err := params.Of(&Lowercase{})
	if err != nil {
		fmt.Println(err)
		return
	}
	parsed, argErr := params.ParseArgs([]string{"--batchSize=2k", "--only=a.example,b.example", "--source.coll", "users"}, spec)
	env := spec.FromEnv(os.LookupEnv, "LOWERCASE_")

	var script Lowercase
	if err := params.Join(argErr, spec.Fill(&script, parsed.Flags[0], env, parsed.File[0])); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(script.BatchSize, script.Every, script.Only, script.Source.Coll)
	// Output: 2000 1m30s [a.example b.example] users
}

// Everything that is wrong is told at once.
func ExampleError() {
	spec, _ := params.Of(&Lowercase{})
	parsed, argErr := params.ParseArgs([]string{"--batchsize=10", "--batch-size=0", "--every=soon"}, spec)
	fmt.Println(params.Join(argErr, spec.Fill(&Lowercase{}, parsed.Flags...)))
	// Output:
	// unknown flag --batchsize for lowercase. Did you mean --batch-size?
	// --batch-size: 0 is below the minimum 1
	// --every: "soon" is not a duration such as 90s, 1h30m, 2d or 60000 (milliseconds)
	// --source.coll: is required
}

func ExampleSpec_Args() {
	script := Lowercase{BatchSize: 2000, Every: 90 * time.Second, Only: []string{"a.example"}, Password: "never shown"}
	script.Source.Coll = "users"
	spec, _ := params.Of(&Lowercase{})
	fmt.Println(spec.Args(script))
	// Output: [--batch-size=2000 --only=a.example --source.coll=users]
}

func ExampleSpec_Masked() {
	script := Lowercase{BatchSize: 500, Every: time.Minute, Password: "never shown"}
	script.Source.Coll = "users"
	spec, _ := params.Of(&Lowercase{})
	fmt.Println(spec.Masked(script))
	// Output: map[batch-size:500 every:1m0s password:*** source:map[coll:users]]
}

func ExampleSpec_FromJSON() {
	spec, _ := params.Of(&Lowercase{})
	layer, err := spec.FromJSON([]byte(`{"batchSize": 10, "source": {"coll": "users"}}`), params.OriginAPI)
	var script Lowercase
	fmt.Println(params.Join(err, spec.Fill(&script, layer)), script.BatchSize, spec.Origins(layer)["every"])
	// Output: <nil> 10 default
}

func ExampleSpec_Usage() {
	spec, _ := params.Of(&Lowercase{})
	fmt.Print(spec.Usage())
	// Output:
	//       --batch-size int        Documents per batch. (default 500; 1 or more)
	//       --every duration        Pause between batches. (default 90s)
	//       --only list of string   Domains to look at.
	//       --source.coll string    Collection to read. (required)
	//       password                (secret, not on the command line; env MAIL_PASSWORD)
}

func ExampleSecret() {
	password := params.Secret("hunter2")
	fmt.Printf("%v %+v %q %d\n", password, password, password, len(password.Reveal()))
	// Output: *** *** "***" 7
}

func ExampleKebab() {
	fmt.Println(params.Kebab("InitErrorRateLimiters"), params.Kebab("HTTPServer"), params.Kebab("UserIDs"))
	// Output: init-error-rate-limiters http-server user-ids
}
