package params

import "testing"

func TestKebab(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"BatchSize": "batch-size", "HTTPServer": "http-server", "UserIDs": "user-ids", "IDs": "ids", "IDsOnly": "ids-only",
		"InitErrorRateLimiters": "init-error-rate-limiters", "URL": "url", "A": "a", "X1": "x1", "Sha256Sum": "sha256-sum",
		"V2API": "v2-api", "Snake_Case": "snake-case", "lowercase-emails": "lowercase-emails", "Backfill[int]": "backfill",
		"UserID": "user-id", "IsOK": "is-ok", "ÄrgerZahl": "ärger-zahl", "": "", "Trailing_": "trailing", "DBs": "dbs", "ASet": "a-set",
	} {
		if got := Kebab(in); got != want {
			t.Errorf("Kebab(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEverySpellingIsAccepted(t *testing.T) {
	t.Parallel()
	type spelt struct {
		BatchSize  int
		UserIDs    int
		HTTPServer int
		Force      bool
	}
	s, err := Of(&spelt{})
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{
		"--batch-size=7", "--batchSize=7", "--BatchSize=7", "--user-ids=7", "--userIds=7", "--userIDs=7", "--UserIDs=7",
		"--http-server=7", "--httpServer=7", "--HTTPServer=7", "--force", "--Force", "--no-force", "--noForce",
	} {
		if p, err := ParseArgs([]string{arg}, s); err != nil || p.Flags[0].Len() != 1 {
			t.Errorf("%s: %v", arg, err)
		}
	}
	for _, arg := range []string{"--batchsize=7", "--batch_size=7", "--noforce", "--nobatchSize", "--no-batch-size", "--BATCHSIZE=7"} {
		if _, err := ParseArgs([]string{arg}, s); err == nil {
			t.Errorf("%s was accepted", arg)
		}
	}
}

func TestNearestGuessesOnlyWhatIsNear(t *testing.T) {
	t.Parallel()
	names := []string{"batch-size", "force", "source.coll", "timeout"}
	for in, want := range map[string]string{
		"batchsize": "batch-size", "batch_size": "batch-size", "bacth-size": "batch-size", "forse": "force", "FORCE": "force",
		"source-coll": "source.coll", "time-out": "timeout", "timout": "timeout", "zzz": "", "f": "", "": "",
	} {
		if got := Nearest(in, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	candidates := []string{"lowercase-emails", "lowercase-names", "batch-size", "purge"}
	for word, want := range map[string]string{
		"batchsize": "batch-size", "bacth-size": "batch-size", "batch": "batch-size", "lowercase-e": "lowercase-emails",
		"lowercase": "", "pu": "", "prge": "purge", "nothing-like-it": "",
	} {
		if got := Nearest(word, candidates); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
