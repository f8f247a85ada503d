package plain

import "testing"

func TestRefusalsTellNoWholeCommands(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`not authorized on rikki to execute command { findAndModify: "runs", query: { a: { b: 1 } }, $db: "rikki" }; ask`: `not authorized on rikki to execute command findAndModify on "runs"; ask`,
		`not authorized on admin to execute command { serverStatus: 1, lsid: { id: 7 }, $db: "admin" }`:                   `not authorized on admin to execute command serverStatus on 1`,
		"command update requires authentication": "command update requires authentication",
	} {
		if got := Refusal(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
