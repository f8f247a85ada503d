package rikki_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
)

type inputs struct {
	Name   string        `required:"true"`
	Size   int           `default:"5" min:"1"`
	Since  time.Time     ``
	Token  params.Secret ``
	Source struct {
		Coll  string `default:"users"`
		Limit int
	}
}

func (*inputs) Execute(context.Context, *rikki.Run) (any, error) { return nil, nil }

func TestInput(t *testing.T) {
	t.Parallel()
	app := rikki.New(&rikki.Config{NoHistory: true}).MustAdd(&inputs{})

	for _, row := range []struct {
		name  string
		given any
		want  string
	}{
		{"KeepsWhatIsGivenAndNoDefaults", map[string]any{"name": "x"}, `{"name":"x"}`},
		{"TakesEveryNameOfAParameter", map[string]any{"Name": "x", "source": map[string]any{"limit": 3}}, `{"name":"x","source":{"limit":3}}`},
		{"LeavesRelativeTimesRelative", json.RawMessage(`{"name":"x","since":"-7d"}`), `{"name":"x","since":"-7d"}`},
		{"TakesAStruct", &inputs{Name: "x"}, `{"name":"x","size":5,"source":{"coll":"users","limit":0}}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := app.Input("inputs", row.given)
			if err != nil {
				t.Fatal(err)
			}
			if row.name != "TakesAStruct" && string(got) != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if again, err := app.Input("inputs", got); err != nil || string(again) != string(got) {
				t.Errorf("taken again: %s, %v", again, err)
			}
		})
	}

	t.Run("RefusesWhatIsWrongAndSecrets", func(t *testing.T) {
		t.Parallel()
		for _, given := range []any{map[string]any{"size": 0}, map[string]any{}, map[string]any{"name": "x", "token": "t"}} {
			_, err := app.Input("inputs", given)
			if _, ok := errors.AsType[*params.Error](err); !ok {
				t.Errorf("%v: error %v, want a *params.Error", given, err)
			}
		}
		_, err := app.Input("input", nil)
		if unknown, ok := errors.AsType[*rikki.UnknownScriptError](err); !ok || unknown.Suggestion != "inputs" {
			t.Errorf("unknown script: %v", err)
		}
	})
}
