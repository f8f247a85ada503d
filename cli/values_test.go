package cli_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// written is a value of MongoDB, and how it is written as Extended JSON and as YAML.
type written struct {
	value      any
	json, yaml string
}

// writer makes values at random. It shares no code with what reads them.
type writer struct{ *rand.Rand }

func (w writer) pick(list ...string) string { return list[w.IntN(len(list))] }

func jsonText(s string) string {
	data, _ := json.Marshal(s) //nolint:errchkjson // text always encodes
	return string(data)
}

// object is one with fields in any order, named by words that sort otherwise or look like something else.
func (w writer) object(depth int) written {
	names := []string{"z", "b", "a", "10", "9", "null", "true", "y", "on", "é", "A", "a b", "2026-01-02", "~", "x-y", "_", "0x1", "B"}
	w.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	doc := bson.D{}
	var jsons, yamls []string
	for _, name := range names[:w.IntN(6)] {
		v := w.value(depth - 1)
		doc = append(doc, bson.E{Key: name, Value: v.value})
		jsons = append(jsons, jsonText(name)+": "+v.json)
		key := name
		if w.IntN(2) == 0 {
			key = jsonText(name)
		}
		yamls = append(yamls, key+": "+v.yaml)
	}
	return written{doc, "{" + strings.Join(jsons, ", ") + "}", "{" + strings.Join(yamls, ", ") + "}"}
}

func (w writer) list(depth int) written {
	list := bson.A{}
	var jsons, yamls []string
	for range w.IntN(4) {
		v := w.value(depth - 1)
		list, jsons, yamls = append(list, v.value), append(jsons, v.json), append(yamls, v.yaml)
	}
	return written{list, "[" + strings.Join(jsons, ", ") + "]", "[" + strings.Join(yamls, ", ") + "]"}
}

func (w writer) value(depth int) written {
	kinds := 15
	if depth > 0 {
		kinds = 17
	}
	switch w.IntN(kinds) {
	case 0:
		return w.int32()
	case 1:
		n := w.Int64N(math.MaxInt64-math.MaxInt32) + math.MaxInt32 + 1
		return written{n, fmt.Sprint(n), fmt.Sprint(n)}
	case 2: // a small number that is long all the same
		n := w.Int64N(100)
		return written{n, fmt.Sprintf(`{"$numberLong": "%d"}`, n), w.pick(fmt.Sprintf(`{$numberLong: %d}`, n), fmt.Sprintf(`{"$numberLong": "%d"}`, n))}
	case 3:
		return w.float()
	case 4:
		return w.text()
	case 5:
		yes := w.IntN(2) == 0
		return written{yes, strconv.FormatBool(yes), w.pick(strconv.FormatBool(yes), strings.ToUpper(strconv.FormatBool(yes)))}
	case 6:
		return written{nil, "null", w.pick("null", "~", "Null")}
	case 7:
		return w.date()
	case 8:
		hex := fmt.Sprintf("%024d", w.Int64N(math.MaxInt64))
		id, _ := bson.ObjectIDFromHex(hex) // it has 24 digits
		return written{id, `{"$oid": "` + hex + `"}`, w.pick("{$oid: "+hex+"}", `{"$oid": "`+hex+`"}`)}
	case 9:
		text := fmt.Sprintf("%d.%d0", w.IntN(1000), w.IntN(1000)+1)
		d, _ := bson.ParseDecimal128(text) // it is one
		return written{d, `{"$numberDecimal": "` + text + `"}`, "{$numberDecimal: " + text + "}"}
	case 10:
		return w.binary()
	case 11:
		return written{bson.Regex{Pattern: "^a.*", Options: "i"}, `{"$regularExpression": {"pattern": "^a.*", "options": "i"}}`, `{$regularExpression: {pattern: ^a.*, options: i}}`}
	case 12:
		n := w.Uint32N(1000) + 1
		text := fmt.Sprintf(`{"$timestamp": {"t": %d, "i": 7}}`, n)
		return written{bson.Timestamp{T: n, I: 7}, text, strings.ReplaceAll(text, `"`, "")}
	case 13:
		return written{bson.MinKey{}, `{"$minKey": 1}`, `{$minKey: 1}`}
	case 14:
		return written{bson.CodeWithScope{Code: "f()", Scope: bson.D{{Key: "z", Value: 1.0}, {Key: "a", Value: int32(2)}}}, `{"$code": "f()", "$scope": {"z": 1.0, "a": 2}}`, `{$code: f(), $scope: {z: 1.0, a: 2}}`}
	case 15:
		return w.list(depth)
	default:
		return w.object(depth)
	}
}

func (w writer) int32() written {
	n := int32(w.IntN(1 << 20))
	return written{n, fmt.Sprint(n), w.pick(fmt.Sprint(n), fmt.Sprintf("0x%X", n), fmt.Sprintf("0o%o", n), fmt.Sprintf("+%d", n))}
}

func (w writer) float() written {
	switch w.IntN(6) {
	case 0:
		return written{math.Inf(1), `{"$numberDouble": "Infinity"}`, w.pick(".inf", ".INF")}
	case 1:
		return written{math.Inf(-1), `{"$numberDouble": "-Infinity"}`, "-.inf"}
	case 2:
		return written{math.Copysign(0, -1), "-0.0", "-0.0"}
	case 3: // a whole number that is a float all the same
		n := w.IntN(1000)
		return written{float64(n), fmt.Sprintf("%d.0", n), w.pick(fmt.Sprintf("%d.0", n), fmt.Sprintf("%d.", n), fmt.Sprintf("%de0", n))}
	case 4:
		return written{1e3, "1e3", "1e3"}
	default:
		f := w.NormFloat64()
		text := strconv.FormatFloat(f, 'e', -1, 64)
		return written{f, text, text}
	}
}

func (w writer) text() written {
	s := w.pick("", "5", "1.0", "true", "null", "~", "2026-01-02", "yes", "a: b", "é\n\"'", " x ", "0777", ".inf", "{}", "<<", "#", "\U0001F600", "12345678901234567890")
	yaml := jsonText(s)
	switch {
	case s == "yes":
		yaml = s
	case !strings.ContainsAny(s, "\n'"):
		yaml = w.pick(yaml, "'"+s+"'", "!!str "+yaml)
	}
	return written{s, jsonText(s), yaml}
}

func (w writer) date() written {
	at := time.UnixMilli(w.Int64N(4e12)).UTC()
	if w.IntN(3) == 0 {
		at = at.Truncate(24 * time.Hour)
		return written{bson.NewDateTimeFromTime(at), `{"$date": "` + at.Format(time.RFC3339) + `"}`, at.Format(time.DateOnly)}
	}
	text := at.Format("2006-01-02T15:04:05.000Z")
	return written{bson.NewDateTimeFromTime(at), `{"$date": "` + text + `"}`, w.pick(text, "{$date: "+text+"}", `{"$date": "`+text+`"}`, at.In(time.FixedZone("", 7200)).Format("2006-01-02 15:04:05.000 -07:00"))}
}

func (w writer) binary() written {
	data := []byte{byte(w.IntN(256)), byte(w.IntN(256))}
	text := base64.StdEncoding.EncodeToString(data)
	if w.IntN(2) == 0 {
		return written{bson.Binary{Data: data}, `{"$binary": {"base64": "` + text + `", "subType": "00"}}`, w.pick("!!binary "+text, `{$binary: {base64: "`+text+`", subType: 00}}`)}
	}
	return written{bson.Binary{Subtype: 4, Data: data}, `{"$binary": {"base64": "` + text + `", "subType": "04"}}`, `{$binary: {base64: "` + text + `", subType: 04}}`}
}

// Whatever way a value takes to the server, it arrives as it was written: by a flag, a file, a spec, a batch, Go.
func TestValuesArriveAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w := writer{rand.New(rand.NewPCG(seed, 1))}
			doc := bson.D{}
			var jsons, yamls []string
			for i := range 40 {
				v := w.value(3)
				name := fmt.Sprintf("f%d", 40-i)
				doc = append(doc, bson.E{Key: name, Value: v.value})
				jsons, yamls = append(jsons, `"`+name+`": `+v.json), append(yamls, "      "+name+": "+v.yaml)
			}
			sameByAllWays(t, doc, "{"+strings.Join(jsons, ", ")+"}", strings.Join(yamls, "\n"))
		})
	}
}

func sameByAllWays(t *testing.T, doc bson.D, asJSON, asYAML string) {
	t.Helper()
	db := rikkitest.DB(t)
	want, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	update := `{"$set": {"v": ` + asJSON + `}}`
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	spec := "collection: c\nfilter: {_id: %s}\nupdate:\n  $set:\n    v:\n" + asYAML + "\n"
	indented := strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintf(spec, "plan"), "\n"), "\n", "\n      ")
	ways := map[string]func(id string) []string{
		"flag": func(id string) []string {
			return []string{"backfill", "--collection=c", `--filter={"_id": "` + id + `"}`, "--update=" + update}
		},
		"file": func(id string) []string {
			return []string{"backfill", "--collection=c", `--filter={"_id": "` + id + `"}`, "--update=@" + file("u.json", "\ufeff"+update)}
		},
		"spec": func(id string) []string {
			return []string{"backfill", "--spec=" + file("s.yaml", fmt.Sprintf(spec, id))}
		},
		"plan": func(string) []string {
			return []string{"batch", "--plan=" + file("p.yaml", "steps:\n  - script: backfill\n    params:\n      "+indented+"\n")}
		},
		"plain": nil,
	}
	for way, args := range ways {
		if _, err := db.Collection("c").InsertOne(t.Context(), bson.D{{Key: "_id", Value: way}}); err != nil {
			t.Fatal(err)
		}
		if args == nil {
			_, err := rikkitest.Try(t, db, backfill.NewAdHoc(), &rikki.RunOptions{Params: map[string]any{"collection": "c", "filter": `{"_id": "` + way + `"}`, "update": update}})
			if err != nil {
				t.Errorf("%s: %v", way, err)
			}
			continue
		}
		var out bytes.Buffer
		app := &cli.App{Name: "app", Config: rikki.Config{Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: db.Name() + "_history"}}
		if code := cli.Run(t.Context(), app, args(way), cli.Stdio{Out: &out, Err: &out}); code != 0 {
			t.Errorf("%s: exit code %d\n%s\n%s", way, code, out.String(), args(way))
		}
	}
	cur, err := db.Collection("c").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, got := range docs {
		if v, _ := got.Lookup("v").DocumentOK(); !bytes.Equal(v, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", got.Lookup("_id"), v, bson.Raw(want))
		}
	}
}
