package params

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// surfaces are the ways of writing a value down and reading it back.
func surfaces() map[string]func(s *Spec, v *everything) (layers []Layer, written string, err error) {
	return map[string]func(s *Spec, v *everything) ([]Layer, string, error){
		"Args": func(s *Spec, v *everything) ([]Layer, string, error) {
			args := s.Args(v)
			p, err := ParseArgs(args, s)
			return slices.Concat(p.Flags, p.File), strings.Join(args, "\n"), err
		},
		"ArgsOfTwoWords": func(s *Spec, v *everything) ([]Layer, string, error) {
			var args []string
			for _, arg := range s.Args(v) {
				if flag, value, ok := strings.Cut(arg, "="); ok && !strings.HasPrefix(value, "--") {
					args = append(args, flag, value)
				} else {
					args = append(args, arg)
				}
			}
			p, err := ParseArgs(args, s)
			return slices.Concat(p.Flags, p.File), strings.Join(args, "\n"), err
		},
		"JSON": func(s *Spec, v *everything) ([]Layer, string, error) {
			b, err := s.JSON(v)
			if err != nil {
				return nil, "", err
			}
			l, err := s.FromJSON(b, OriginAPI)
			return []Layer{l}, string(b), err
		},
		"ConfigFlag": func(s *Spec, v *everything) ([]Layer, string, error) {
			b, err := s.JSON(v)
			if err != nil {
				return nil, "", err
			}
			p, err := ParseArgs([]string{"--config=" + string(b)}, s)
			return slices.Concat(p.Flags, p.File), string(b), err
		},
		"Form": func(s *Spec, v *everything) ([]Layer, string, error) {
			encoded := s.Form(v).Encode()
			form, err := url.ParseQuery(encoded)
			if err != nil {
				return nil, encoded, err
			}
			l, err := s.FromForm(form)
			return []Layer{l}, encoded, err
		},
		"Masked": func(s *Spec, v *everything) ([]Layer, string, error) {
			l, err := s.FromMap(s.Masked(v), OriginAPI)
			return []Layer{l}, "", err
		},
	}
}

func TestEveryValueSurvivesEverySurface(t *testing.T) {
	t.Parallel()
	s, err := Of(&everything{})
	if err != nil {
		t.Fatal(err)
	}
	for name, through := range surfaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGenerator(t)
			for range 800 {
				want := g.everything()
				layers, written, err := through(s, &want)
				if err != nil {
					t.Fatalf("parsing: %v\n%s", err, written)
				}
				var got everything
				if err := s.Fill(&got, layers...); err != nil {
					t.Fatalf("filling: %v\n%s", err, written)
				}
				if diff := cmp.Diff(want, got, equal()); diff != "" {
					t.Fatalf("(-want +got)\n%s\n%s", diff, written)
				}
			}
		})
	}
}

// A registered prototype has values of its own. What is written must come back over a copy of it, and over a new struct.
func TestEveryValueSurvivesAPrototype(t *testing.T) {
	t.Parallel()
	for name, through := range surfaces() {
		if name == "Masked" {
			continue // it is for readers; an absent optional value is not told from a prototype's
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGenerator(t)
			for range 300 {
				prototype := g.everything()
				prototype.MaybeFlag = nil // a bool's --no- form means false, so flags cannot unset it
				s, err := Of(&prototype)
				if err != nil {
					t.Fatal(err)
				}
				want := g.everything()
				if want.Kind == "" {
					want.Kind = "slow" // over a prototype that has one, blank is no value of the enumeration
				}
				layers, written, err := through(s, &want)
				if err != nil {
					t.Fatalf("parsing: %v\n%s", err, written)
				}
				got := prototype
				if err := s.Fill(&got, layers...); err != nil {
					t.Fatalf("filling a copy: %v\n%s", err, written)
				}
				if diff := cmp.Diff(want, got, equal()); diff != "" {
					t.Fatalf("a copy (-want +got)\n%s\n%s", diff, written)
				}
			}
		})
	}
}
