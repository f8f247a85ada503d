package redact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rikki-go/rikki/internal/redact"
)

func TestRedactor(t *testing.T) {
	t.Parallel()

	t.Run("HidesEverySpellingOfASecret", func(t *testing.T) {
		t.Parallel()
		const secret = `p@ss:w/o<r>d&"\ é1`
		var r redact.Redactor
		r.Add(secret)
		for _, s := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ToLower(url.QueryEscape(secret)),
			strconv.Quote(secret), `{"p":"p@ss:w/o<r>d&\"\\ é1"}`, `{"p":"p@ss:w/o\u003cr\u003ed\u0026\"\\ é1"}`,
		} {
			if got := r.Text("x " + s + " y"); !strings.Contains(got, redact.Mask) || strings.Contains(got, "ss") {
				t.Errorf("Text(%q) = %q", s, got)
			}
		}
	})

	t.Run("KnowsTheDecodedFormOfAnEncodedSecret", func(t *testing.T) {
		t.Parallel()
		var r redact.Redactor
		r.AddURI("mongodb://app:CAN%40ARY@db1/?authMechanismProperties=ENVIRONMENT:test,AWS_SESSION_TOKEN:t0ken1&proxyPassword=pr0xy1&appName=shop")
		if got, want := r.Text("app CAN@ARY CAN%40ARY t0ken1 pr0xy1 test shop"), "app *** *** *** *** test shop"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("LeavesShortSecretsAndTheSchemeAlone", func(t *testing.T) {
		t.Parallel()
		var r redact.Redactor
		r.Add("abc")
		r.Add("")
		r.Add("mongodb")
		if got, want := r.Text("abc mongodb://u:CANARY7f3a@h"), "abc mongodb://***@h"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("HidesTheLongerOfTwoSecretsThatBeginAlike", func(t *testing.T) {
		t.Parallel()
		var r redact.Redactor
		r.Add("hunter")
		r.Add("hunter2000")
		if got := r.Text("hunter2000"); got != redact.Mask {
			t.Errorf("got %q", got)
		}
	})

	t.Run("ServesURIsWithoutAnyValueAdded", func(t *testing.T) {
		t.Parallel()
		var r *redact.Redactor
		if got, want := r.Text("mongodb://u:p@h"), "mongodb://***@h"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("KeepsAClonesSecretsApart", func(t *testing.T) {
		t.Parallel()
		r := redact.New("secret-1")
		clone := r.Clone()
		clone.Add("secret-2")
		r.Add("secret-3")
		if got, want := r.Text("secret-1 secret-2 secret-3"), "*** secret-2 ***"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := clone.Text("secret-1 secret-2 secret-3"), "*** *** secret-3"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("TakesSecretsWhileOthersRead", func(t *testing.T) {
		t.Parallel()
		var r redact.Redactor
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				secret := fmt.Sprintf("secret-%d", i)
				r.Add(secret)
				if got := r.Text(secret); got != redact.Mask {
					t.Errorf("got %q", got)
				}
			})
		}
		wg.Wait()
	})
}

func TestError(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	r.Add(canary)

	t.Run("KeepsTheChain", func(t *testing.T) {
		t.Parallel()
		cause := &numError{n: 7, text: canary}
		err := r.Error(fmt.Errorf("dial %s: %w", canary, errors.Join(cause, io.EOF)))
		var found *numError
		if !errors.Is(err, io.EOF) || !errors.As(err, &found) || found.n != 7 {
			t.Errorf("the chain of %v is broken", err)
		}
	})

	t.Run("PrintsNoSecretWithAnyVerb", func(t *testing.T) {
		t.Parallel()
		err := r.Error(&numError{text: "mongodb://u:short@h and " + canary})
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, err); strings.Contains(got, canary) || strings.Contains(got, "short") {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	})

	t.Run("KeepsNil", func(t *testing.T) {
		t.Parallel()
		if err := r.Error(nil); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

type numError struct {
	n    int
	text string
}

func (e *numError) Error() string { return e.text }

type valuer struct{ text string }

func (v valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("inner", v.text), slog.Any("err", errors.New(v.text)))
}

type stringer struct{ text string }

func (s *stringer) String() string { return s.text }

type document struct {
	Name string
	Next *document `json:",omitempty"`
}

func TestHandler(t *testing.T) {
	t.Parallel()
	const secret = "mongodb://u:short@h and " + canary
	handlers := map[string]func(w io.Writer) slog.Handler{
		"JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		"Text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
	}
	values := map[string]any{
		"String":   secret,
		"Error":    errors.New(secret),
		"Stringer": &stringer{secret},
		"Valuer":   valuer{secret},
		"Group":    slog.GroupValue(slog.Any("deep", slog.GroupValue(slog.Any("deeper", valuer{secret})))),
		"Bytes":    []byte(secret),
		"Struct":   document{Name: secret},
		"Pointer":  &document{Next: &document{Next: &document{Name: secret}}},
		"Map":      map[string]any{"a": []any{secret}},
		"MapKey":   map[string]int{secret: 1},
		"Nil":      nil,
		"NilStr":   (*stringer)(nil),
	}
	for name, newHandler := range handlers {
		for kind, value := range values {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				var r redact.Redactor
				r.Add(canary)
				var out bytes.Buffer
				log := slog.New(r.Handler(newHandler(&out)))
				log.Info("message "+secret, "value", value, secret, 1)
				log.With("with", value).WithGroup("group "+secret).Info("again", "value", value)
				if got := out.String(); strings.Contains(got, canary) || strings.Contains(got, "short") || got == "" {
					t.Errorf("got %s", got)
				}
			})
		}
	}

	t.Run("PassesHarmlessValuesOnAsTheyAre", func(t *testing.T) {
		t.Parallel()
		var r redact.Redactor
		var out bytes.Buffer
		log := slog.New(r.Handler(slog.NewJSONHandler(&out, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})))
		log.InfoContext(context.Background(), "hello", "doc", document{Name: "x"}, "n", 1, slog.Group("g", "b", true))
		want := `{"level":"INFO","msg":"hello","doc":{"Name":"x"},"n":1,"g":{"b":true}}` + "\n"
		if got := out.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
