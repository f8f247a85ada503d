package conn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rikki-go/rikki/conn"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	type want struct{ URI, Origin, Database string }
	for name, c := range map[string]struct {
		cfg  conn.Config
		env  map[string]string
		want want
	}{
		"FallsBackToTheDefault": {
			want: want{"mongodb://localhost:27017/myappdb", "default", "myappdb"},
		},
		"TakesMongoURI": {
			env:  map[string]string{"MONGO_URI": "mongodb://u:p@two/db"},
			want: want{"mongodb://***@two/db", "MONGO_URI", "db"},
		},
		"PrefersMongoDBURI": {
			env:  map[string]string{"MONGODB_URI": "mongodb://one/a", "MONGO_URI": "mongodb://two/b"},
			want: want{"mongodb://one/a", "MONGODB_URI", "a"},
		},
		"CountsABlankVariableAsMissing": {
			env:  map[string]string{"MONGODB_URI": " \t\n", "MONGO_URI": ""},
			want: want{"mongodb://localhost:27017/myappdb", "default", "myappdb"},
		},
		"PrefersTheConfig": {
			cfg:  conn.Config{URI: "mongodb://zero/z", Database: "other"},
			env:  map[string]string{"MONGODB_URI": "mongodb://one/a"},
			want: want{"mongodb://zero/z", "Config", "other"},
		},
		"NamesTheConfigsOwnOrigin": {
			cfg:  conn.Config{URI: "mongodb://zero/z", Origin: "--uri-file"},
			want: want{"mongodb://zero/z", "--uri-file", "z"},
		},
		"TrimsWhatASecretFileLeaves": {
			env:  map[string]string{"MONGODB_URI": "mongodb://one/a%2Db?w=1\n"},
			want: want{"mongodb://one/***?w=1", "MONGODB_URI", "a-b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Getenv = func(key string) string { return c.env[key] }
			s := conn.New(c.cfg)
			if diff := cmp.Diff(c.want, want{s.URI(), s.Origin(), s.Database()}); diff != "" {
				t.Error(diff)
			}
		})
	}

	t.Run("IsReadAtFirstUse", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{}
		s := conn.New(conn.Config{Getenv: func(key string) string { return env[key] }})
		env["MONGODB_URI"] = "mongodb://late/db" // as from a .env file
		if got := s.URI(); got != "mongodb://late/db" {
			t.Errorf("got %s", got)
		}
	})
}

func TestDefaultIsShared(t *testing.T) {
	t.Parallel()
	first, second := conn.Default(), conn.Default()
	if first != second {
		t.Error("two default sources")
	}
}

// TestMalformedURI expects a clear error at once, without any part of the
// password, from whatever somebody pasted.
func TestMalformedURI(t *testing.T) {
	t.Parallel()
	const canary = "CANARY7f3a"
	for _, uri := range []string{
		"CANARY7f3a", "localhost:27017", "http://u:CANARY7f3a@h/db", "mongodb:/u:CANARY7f3a@h/db", "mongodb://",
		"mongodb:///db", "mongodb://u:CANARY7f3a", "mongodb://u:CANARY7f3a%40h/db", "mongodb://u:CANARY7f3a@",
		"mongodb://u:x@CANARY7f3a@h/db", "mongodb://u:x/CANARY7f3a@h/db", "mongodb://u:x:CANARY7f3a@h/db",
		"mongodb://u:x?CANARY7f3a@h/db", "mongodb://u:%zzCANARY7f3a@h/db", "mongodb://%zzCANARY7f3a:p@h/db",
		"mongodb://u:CANARY7f3a@h:99999/db", "mongodb://u:CANARY7f3a@h:port/db", "mongodb://u:CANARY7f3a@h?w=1",
		"mongodb://u:CANARY7f3a@h/db?connectTimeoutMS=soon", "mongodb://u:CANARY7f3a@h/db?tls=perhaps",
		"mongodb://u:CANARY7f3a@h/db?CANARY7f3a", "mongodb://u:CANARY7f3a@h/db?authMechanism=NONE",
		"mongodb://h/db?tls=true&tlsCertificateKeyFile=/no/CANARY7f3a.pem",
		"mongodb://h/db?tls=true&tlsCertificateKeyFilePassword=CANARY7f3a",
		"mongodb://u:CANARY7f3a@a,b/db?directConnection=true", "mongodb://u:CANARY7f3a@h/db?authMechanismProperties=CANARY7f3a",
		"mongodb://u:CANARY7f3a@h/db?heartbeatFrequencyMS=1", "mongodb://u:CANARY7f3a@h/db?readPreference=nowhere",
		"mongodb://u:CANARY7f3a@h/a%zz", "mongodb+srv://u:CANARY7f3a@a,b/db", "mongodb+srv://u:CANARY7f3a@h:1/db",
		"mongodb://u:CANARY7f3a@h/db\x00", "mongodb://u:CANARY7f3a@h/db?w=1&&&==", "mongodb://h/db?tls=true&tlsInsecure=true&tlsAllowInvalidCertificates=true&x=CANARY7f3a",
	} {
		// The secret must not be in the test's name, which is printed.
		t.Run(strings.ReplaceAll(uri, canary, "SECRET"), func(t *testing.T) {
			t.Parallel()
			s := source(t, conn.Config{URI: uri, ServerSelectionTimeout: 1})
			_, err := s.Acquire(t.Context())
			var e *conn.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.What == "" || e.Why == "" || e.Fix == "" || strings.Contains(err.Error(), "\n") {
				t.Errorf("not a message in three lines: %+v", e)
			}
			for all := error(e); all != nil; all = errors.Unwrap(all) {
				if strings.Contains(all.Error(), canary) && e.Kind == conn.BadURI {
					t.Errorf("the error shows the secret: %s", all)
				}
			}
			if st := s.Status(); strings.Contains(e.URI+e.Origin+e.What+e.Why+e.Fix+st.URI+st.LastError+strings.Join(st.Hosts, " "), canary) {
				t.Errorf("secret shown: %+v %+v", e, st)
			}
		})
	}

	t.Run("QuotesWhatIsHarmless", func(t *testing.T) {
		t.Parallel()
		s := source(t, conn.Config{URI: "mongodb://u:p@h/db?connectTimeoutMS=soon"})
		_, err := s.Acquire(t.Context())
		if !errors.Is(err, conn.ErrBadURI) || !strings.Contains(err.Error(), `"connectTimeoutMS": "soon"`) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("AsksForADatabase", func(t *testing.T) {
		t.Parallel()
		s := source(t, conn.Config{URI: "mongodb://h:1/?w=1"})
		_, err := s.Acquire(t.Context())
		if conn.KindOf(err) != conn.NoDatabase || !errors.Is(err, conn.ErrBadURI) {
			t.Errorf("got %v", err)
		}
	})
}
