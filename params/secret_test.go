package params

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

const hunter = "hunter2-secret"

func TestSecretNeverShows(t *testing.T) {
	t.Parallel()
	s := Secret(hunter)
	holder := struct {
		Pass Secret
		Ptr  *Secret
		List []Secret
		Map  map[string]Secret
	}{s, &s, []Secret{s}, map[string]Secret{"a": s}}
	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%T"} {
		shown["alone "+verb] = fmt.Sprintf(verb, s)
		shown["pointer "+verb] = fmt.Sprintf(verb, &s)
		shown["held "+verb] = fmt.Sprintf(verb, holder)
	}
	shown["error"] = fmt.Errorf("cannot log in with %v", s).Error()
	encoded, err := json.Marshal(holder)
	shown["json"] = string(encoded)
	if err != nil {
		t.Error(err)
	}
	text, err := s.MarshalText()
	shown["text"] = string(text)
	if err != nil {
		t.Error(err)
	}
	doc, err := bson.Marshal(holder)
	shown["bson"] = string(doc)
	if err != nil {
		t.Error(err)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("login", "pass", s, "holder", holder)
		shown[name] = b.String()
	}
	for how, text := range shown {
		if strings.Contains(text, hunter) || strings.Contains(text, fmt.Sprintf("%x", hunter)) || strings.Contains(text, fmt.Sprintf("%X", hunter)) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	for _, how := range []string{"alone %v", "alone %#v", "json", "bson", "slog text", "slog json", "error"} {
		if !strings.Contains(shown[how], "***") {
			t.Errorf("%s does not say that there is one: %s", how, shown[how])
		}
	}
	if s.Reveal() != hunter {
		t.Error("Reveal does not give the secret")
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("an empty secret shows as %q", got)
	}
}

func TestSecretDoesNotShowInAPanic(t *testing.T) {
	t.Parallel()
	if os.Getenv("PARAMS_TEST_PANIC") != "" {
		panic(Secret(hunter))
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestSecretDoesNotShowInAPanic$")
	cmd.Env = append(os.Environ(), "PARAMS_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("panic:")) {
		t.Fatalf("no panic: %v\n%s", err, out)
	}
	if bytes.Contains(out, []byte(hunter)) {
		t.Errorf("the panic shows the secret:\n%s", out)
	}
}

type vault struct {
	Pass   Secret
	Keys   []Secret
	ByName map[string]Secret
	PIN    int `secret:"true"`
	Opt    *Secret
	Empty  Secret
	Nested struct{ Token Secret }
	Safes  []struct {
		Name string
		Code Secret
	}
	Open string
}

func full(t *testing.T) (*Spec, vault) {
	t.Helper()
	opt := Secret(hunter + "5")
	v := vault{
		Pass: hunter + "1", Keys: []Secret{hunter + "2"}, ByName: map[string]Secret{"a": hunter + "3"}, PIN: 987654, Opt: &opt,
		Open: "mongodb://user:" + hunter + "@db.example/shop",
	}
	v.Nested.Token = hunter + "4"
	v.Safes = append(v.Safes, struct {
		Name string
		Code Secret
	}{"one", hunter + "6"})
	s, err := Of(&v)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func TestEncodersNeverShowASecret(t *testing.T) {
	t.Parallel()
	s, v := full(t)
	v.Open = ""
	doc, err := s.JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := json.Marshal(s.Schema())
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{
		"JSON": string(doc), "Args": strings.Join(s.Args(v), " "), "Form": s.Form(v).Encode(), "Masked": fmt.Sprint(s.Masked(v)),
		"Schema": strings.ReplaceAll(string(schema), `"open":{"type":"string","default":"mongodb://user:`+hunter+`@db.example/shop"}`, ""),
		"Usage":  "",
	}
	for _, f := range s.Fields() {
		if f.GoName != "Open" {
			shown["Usage"] += fmt.Sprintf("%+v %s", f.Default, f.Notes())
		}
	}
	for how, text := range shown {
		if strings.Contains(text, hunter) || strings.Contains(text, "987654") {
			t.Errorf("%s shows a secret: %s", how, text)
		}
	}
}

func TestMaskedTellsWhichSecretsAreSet(t *testing.T) {
	t.Parallel()
	s, v := full(t)
	want := map[string]any{
		"pass": "***", "keys": "***", "by-name": "***", "pin": "***", "opt": "***",
		"nested": map[string]any{"token": "***"},
		"safes":  []any{map[string]any{"name": "one", "code": "***"}},
		"open":   "mongodb://***@db.example/shop",
	}
	if diff := cmp.Diff(want, s.Masked(&v)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := bson.Marshal(s.Masked(v)); err != nil {
		t.Error(err)
	}
}

func TestSecretsListsAllOfThem(t *testing.T) {
	t.Parallel()
	s, v := full(t)
	got := s.Secrets(&v)
	want := []string{hunter + "1", hunter + "2", hunter + "3", "987654", hunter + "5", hunter + "4", hunter + "6"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSecretsComeFromEnvironmentFileAndAPI(t *testing.T) {
	t.Parallel()
	s, err := Of(&vault{})
	if err != nil {
		t.Fatal(err)
	}
	env := s.FromEnv(func(name string) (string, bool) { return hunter, name == "X_PASS" }, "X_")
	api, err := s.FromJSON([]byte(`{"keys":["a","b"],"safes":[{"name":"x","code":"y"}]}`), OriginAPI)
	if err != nil {
		t.Fatal(err)
	}
	p := Parser{Specs: []*Spec{s}, Stdin: strings.NewReader(`{"nested":{"token":"t"}}`)}
	parsed, err := p.Parse([]string{"--config=-"})
	if err != nil {
		t.Fatal(err)
	}
	var v vault
	if err := s.Fill(&v, env, api, parsed.File[0]); err != nil {
		t.Fatal(err)
	}
	if v.Pass.Reveal() != hunter || len(v.Keys) != 2 || v.Keys[1].Reveal() != "b" || v.Safes[0].Code.Reveal() != "y" || v.Nested.Token.Reveal() != "t" {
		t.Errorf("%q %q %q %q", v.Pass.Reveal(), v.Keys, v.Safes, v.Nested.Token.Reveal())
	}
}

func TestSecretInAFileThatOthersMayReadIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	s, err := Of(&vault{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "params.json")
	for _, tc := range []struct {
		mode os.FileMode
		doc  string
		want string
	}{
		{0o600, `{"pass":"` + hunter + `"}`, ""},
		{0o644, `{"open":"x"}`, ""},
		{0o640, `{"pass":"` + hunter + `"}`, "pass (file): " + inOpenFile},
		{0o604, `{"nested":{"token":"` + hunter + `"}}`, "nested.token (file): " + inOpenFile},
	} {
		if err := os.WriteFile(path, []byte(tc.doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		_, err := ParseArgs([]string{"--config=@" + path}, s)
		if got := fmt.Sprint(err); got != tc.want && (err != nil || tc.want != "") {
			t.Errorf("%o %s: got %s, want %s", tc.mode, tc.doc, got, tc.want)
		}
	}
}
