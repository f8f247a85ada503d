package params

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// pace is an enumeration of strings.
type pace string

func (pace) Values() []string { return []string{"fast", "slow", "off"} }

// colour is an enumeration that reads more spellings than it writes.
type colour int

func (colour) Values() []string { return []string{"red", "green"} }

func (c colour) MarshalText() ([]byte, error) { return []byte(colour(0).Values()[c]), nil }

func (c *colour) UnmarshalText(b []byte) error {
	for i, name := range c.Values() {
		if name == string(b) || name[:1] == string(b) {
			*c = colour(i)
			return nil
		}
	}
	return cmpError("no such colour")
}

type cmpError string

func (e cmpError) Error() string { return string(e) }

// source is a nested struct.
type source struct {
	Coll  string `default:"users"`
	Limit *int
	Deep  struct {
		Level int `default:"3"`
		Note  string
	}
}

// step is an item of a list.
type step struct {
	Coll   string `required:"true"`
	Weight int    `default:"1" min:"0" max:"9"`
	Tags   []string
	After  *time.Duration
}

// common is embedded.
type common struct {
	Shared   string
	SharedID int64 `default:"-7"`
}

// everything has a field of every supported type.
type everything struct {
	common

	Name  string
	Title string `default:"untitled" maxLength:"100"`
	Pace  pace   `default:"fast"`
	Kind  pace
	Hue   colour
	Level slog.Level
	Addr  netip.Addr
	Flag  bool
	On    bool `default:"true"`

	Int   int `default:"500"`
	I8    int8
	I16   int16
	I32   int32
	I64   int64 `default:"9007199254740993"`
	Uint  uint
	U8    uint8
	U16   uint16
	U32   uint32
	U64   uint64
	Dozen int64 `enum:"12,24,9007199254740993" default:"12"`
	F32   float32
	F64   float64 `default:"0.5"`

	Every    time.Duration
	Patience time.Duration `default:"90s"`
	At       time.Time
	From     time.Time `default:"2026-01-02"`
	ID       bson.ObjectID
	OwnerIDs []bson.ObjectID
	Price    bson.Decimal128
	Key      bson.Binary
	Backup   bson.Binary `default:"123e4567-e89b-12d3-a456-426614174000"`

	MaybeName  *string
	MaybeFlag  *bool
	MaybeInt   *int64
	MaybeEvery *time.Duration
	MaybeAt    *time.Time
	MaybePrice *bson.Decimal128

	Tags    []string
	Preset  []string `default:"a,b"`
	Numbers []int64
	Floats  []float32
	Waits   []time.Duration
	Moments []time.Time
	Matrix  [][]int
	Steps   []step
	Labels  map[string]string
	Weights map[string]float64
	Groups  map[pace][]string
	Places  map[string]source

	Source source
	Target *source
}

// equal compares values of everything: nil and empty lists are the same, so are times of the same moment.
func equal() cmp.Options {
	return cmp.Options{
		cmpopts.EquateEmpty(),
		cmp.AllowUnexported(everything{}),
		cmp.Comparer(func(a, b bson.Decimal128) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
}

// words are the strings that parsers trip over.
var words = []string{
	"", " ", "a", "users", "a,b", ",", "[x", "[1]", "{", "{}", "@file", "@@x", "-", "--", "--name=x", "-7d", "k=v", "=", "null",
	"true", "0", "***", "é", "日本語", "\n", "a\r\nb", "\t", `"`, `\`, "'", "<&>", "\u2028", "\ufffd", " padded ", "%20+", "a;b", "no-x",
}

// generator makes random values, seeded so that a failure can be repeated.
type generator struct{ *rand.Rand }

func newGenerator(t *testing.T) generator {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return generator{rand.New(rand.NewPCG(seed, 0))}
}

// fill sets v at random; about a third of all fields stay zero.
func (g generator) fill(v reflect.Value, depth int) {
	if g.IntN(3) == 0 && depth > 0 {
		return
	}
	switch v.Interface().(type) {
	case pace:
		v.SetString(pick(g, pace("").Values()))
		return
	case colour:
		v.SetInt(int64(g.IntN(2)))
		return
	case slog.Level:
		v.SetInt(int64(g.IntN(40) - 20))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, 0, byte(g.IntN(256))})))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(g.Int64N(8e9)-4e9, g.Int64N(1e9)).UTC()))
		return
	case bson.ObjectID:
		var id bson.ObjectID
		for i := range id {
			id[i] = byte(g.Uint32())
		}
		v.Set(reflect.ValueOf(id))
		return
	case bson.Decimal128:
		d, _ := bson.ParseDecimal128(pick(g, []string{"0", "-0", "12.50", "1E+3", "-1E-6176", "NaN", "Infinity", "-Infinity", "9999999999999999999999999999999999"}))
		v.Set(reflect.ValueOf(d))
		return
	case bson.Binary:
		data := make([]byte, 16)
		for i := range data {
			data[i] = byte(g.Uint32())
		}
		v.Set(reflect.ValueOf(bson.Binary{Subtype: bson.TypeBinaryUUID, Data: data}))
		return
	}
	g.fillKind(v, depth)
}

func (g generator) fillKind(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(pick(g, words))
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := v.Type().Bits()
		v.SetInt(pick(g, []int64{0, 1, -1, math.MinInt64 >> (64 - bits), math.MaxInt64 >> (64 - bits), int64(g.Uint64()) >> (64 - bits)}))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(pick(g, []uint64{0, 1, math.MaxUint64, g.Uint64()}) >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(float64(pick(g, []float32{0, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32, 0.1, g.Float32()})))
	case reflect.Float64:
		v.SetFloat(pick(g, []float64{0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 0.1, g.NormFloat64()}))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		g.fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), g.IntN(4), 4))
		for i := range v.Len() {
			g.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range g.IntN(4) {
			key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			key.SetString(pick(g, words))
			g.fill(item, depth+1)
			v.SetMapIndex(key, item)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Anonymous {
				g.fillKind(v.Field(i), depth+1) // an unexported embedded struct has no interface value
			} else {
				g.fill(v.Field(i), depth+1)
			}
		}
	default:
		panic("no generator for " + v.Type().String())
	}
}

func pick[T any](g generator, from []T) T { return from[g.IntN(len(from))] }

// random returns a value that Fill could have made: what it cannot make is put right.
func (g generator) everything() everything {
	var e everything
	g.fill(reflect.ValueOf(&e).Elem(), 0)
	e.Dozen = pick(g, []int64{12, 24, 9007199254740993})
	if e.Pace == "" {
		e.Pace = "off"
	}
	for i := range e.Steps {
		e.Steps[i].Weight = g.IntN(10)
	}
	e.Waits = slices.Clip(e.Waits)
	return e
}
