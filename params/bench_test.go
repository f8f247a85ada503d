package params

import "testing"

// BenchmarkStart is what each start of a command line pays for a small script.
func BenchmarkStart(b *testing.B) {
	type script struct {
		BatchSize int  `default:"500" min:"1" help:"Documents per batch."`
		Force     bool `help:"Overwrite an existing config."`
		Domains   []string
	}
	for b.Loop() {
		s, err := Of(&script{})
		if err != nil {
			b.Fatal(err)
		}
		p, err := ParseArgs([]string{"--batch-size=10k", "--force"}, s)
		if err != nil {
			b.Fatal(err)
		}
		var v script
		if err := s.Fill(&v, p.Flags[0], p.File[0]); err != nil {
			b.Fatal(err)
		}
	}
}
