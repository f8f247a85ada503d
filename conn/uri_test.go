package conn

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/redact"
)

// FuzzParseError looks for a malformed URI whose error shows the password. Not
// every redactor is told the password as the driver cut it out, so none is told.
func FuzzParseError(f *testing.F) {
	const canary = "CANARY7f3a"
	for _, s := range []string{"", "@", ":", "/", "?", "#", "%", "%zz", "%40", " ", "\"", "\\", "\n", "\xff", ",", "[", "]", "é", "`"} {
		f.Add(s, "", "h", "db")
		f.Add("", s, "h", "db?w=1")
		f.Add(s, s, "h:port", "db?tls=perhaps")
	}
	f.Fuzz(func(t *testing.T, before, after, host, rest string) {
		uri := "mongodb://u:" + before + canary + after + "@" + host + "/" + rest
		err := options.Client().ApplyURI(uri).Validate()
		if err == nil {
			return
		}
		if got := parseError(err, uri, &redact.Redactor{}).Error(); strings.Contains(got, canary) {
			t.Errorf("%q: %s (from %s)", uri, got, err)
		}
	})
}

func TestDatabaseOf(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"mongodb://h": "", "mongodb://h/": "", "mongodb://h/db": "db", "mongodb://u:p@a,b:1/db?w=1": "db",
		"mongodb://h/?authSource=x/y": "", "mongodb+srv://h/a%2Bb": "a+b", "mongodb://%2Ftmp%2Fx.sock/db": "db", "nonsense": "",
	} {
		if got := databaseOf(uri); got != want {
			t.Errorf("databaseOf(%q) = %q, want %q", uri, got, want)
		}
	}
}
