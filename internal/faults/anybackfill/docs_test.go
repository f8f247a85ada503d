//go:build linux

package anybackfill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maker makes a case from a seed.
type maker struct {
	*rand.Rand
}

func newMaker(seed uint64) *maker { return &maker{rand.New(rand.NewPCG(seed, 7))} }

// one is a chance of one in n.
func (m *maker) one(n int) bool { return m.IntN(n) == 0 }

func pick[T any](m *maker, list ...T) T { return list[m.IntN(len(list))] }

// value is one of any type.
func (m *maker) value(depth int) any {
	if depth > 0 && m.one(4) {
		switch m.IntN(3) {
		case 0:
			return m.array(depth - 1)
		default:
			return m.fields(depth-1, m.IntN(4))
		}
	}
	switch m.IntN(22) {
	case 0:
		return pick(m, 0.0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1.5, 1e300, 2.0, -1.0)
	case 1, 2:
		return m.text()
	case 3:
		return bson.Binary{Subtype: pick[byte](m, 0, 1, 2, 3, 4, 5, 6, 128), Data: []byte(strings.Repeat("x", pick(m, 0, 1, 16)))}
	case 4:
		return bson.Undefined{}
	case 5:
		return bson.ObjectID{1, 2, 3, byte(m.IntN(4))}
	case 6:
		return m.one(2)
	case 7:
		return bson.DateTime(pick[int64](m, 0, -1, 1e12, math.MinInt64, math.MaxInt64))
	case 8:
		return nil
	case 9:
		return bson.Regex{Pattern: pick(m, "", "a", "^b.*"), Options: pick(m, "", "i", "im")}
	case 10:
		return bson.DBPointer{DB: "db.c", Pointer: bson.ObjectID{9}}
	case 11:
		return bson.JavaScript("f()")
	case 12:
		return bson.Symbol(pick(m, "", "sym"))
	case 13:
		return bson.CodeWithScope{Code: "g()", Scope: bson.D{{Key: "x", Value: 1}}}
	case 14:
		return bson.Timestamp{T: pick[uint32](m, 0, 0, 1), I: pick[uint32](m, 0, 0, 7)}
	case 15:
		return int64(pick(m, 0, 1, 1<<40, math.MaxInt64))
	case 16:
		return pick(m, decimal("0"), decimal("-0"), decimal("NaN"), decimal("1.00"), decimal("Infinity"), decimal("1E+3"))
	case 17:
		return pick[any](m, bson.MinKey{}, bson.MaxKey{})
	default:
		return int32(pick(m, 0, 1, 2, 3, -1, math.MaxInt32))
	}
}

func decimal(s string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		panic(err)
	}
	return d
}

func (m *maker) text() string {
	return pick(m, "", "a", "A", "abc", "ABC", "é", "1", "2026-01-01", "\xff\xfe", "$a", "a.b", strings.Repeat("long ", 10), "\x00z")
}

func (m *maker) array(depth int) bson.A {
	a := bson.A{}
	for range m.IntN(4) {
		a = append(a, m.value(depth))
	}
	return a
}

// name is one of a field: few, so that scripts meet them.
func (m *maker) name() string {
	if m.one(4) {
		return pick(m, "", "a.b", "$d", "__rikki_before", "é", "0", "a", "_", "sub.x", "$set", "1")
	}
	return pick(m, "a", "b", "c", "d", "s", "t", "sub")
}

func (m *maker) fields(depth, n int) bson.D {
	d := bson.D{}
	for range n {
		name := m.name()
		if slices.ContainsFunc(d, func(e bson.E) bool { return e.Key == name }) && !m.one(6) {
			continue // names twice are there, but rare
		}
		d = append(d, bson.E{Key: name, Value: m.value(depth)})
	}
	return d
}

// anyID is an _id: arrays, regular expressions and undefined can't be one.
func (m *maker) anyID(i int) any {
	switch m.IntN(12) {
	case 0:
		return float64(i) + 0.5
	case 1:
		return int64(i) << 33
	case 2:
		return bson.ObjectID{byte(i), byte(i >> 8), 1}
	case 3:
		return bson.D{{Key: "k", Value: i}, {Key: "l", Value: m.IntN(3)}}
	case 4:
		return bson.DateTime(i * 1000)
	case 5:
		return bson.Binary{Subtype: pick[byte](m, 0, 4), Data: fmt.Appendf(nil, "%016d", i)}
	case 6:
		return bson.Timestamp{T: uint32(i), I: 1}
	case 7:
		return pick[any](m, nil, true, false, bson.MinKey{}, bson.MaxKey{}, math.NaN(), decimal("NaN"), math.Inf(1), "", bson.D{}, bson.Symbol("y"), "\xff"+fmt.Sprint(i%3), "\xfe", "a,b", " c ", "null", "5")
	case 8:
		return decimal(fmt.Sprint(i, ".25"))
	case 9:
		return fmt.Sprint("id", i)
	default:
		return int32(i)
	}
}

// style says what the documents of a collection are like.
type style struct {
	ids    string // int, any, text, oid
	wild   int    // fields of any kind
	n      string // what n is: int, any
	k      string // what k is: none, int, any, text
	arr    bool
	exp    bool
	zeroTS int // one in so many documents has an empty timestamp at the top
	bad    int // one in so many is of another kind than the rest
}

func (m *maker) style() style {
	s := style{ids: pick(m, "int", "int", "any", "any", "text", "oid"), n: pick(m, "int", "int", "any"), k: pick(m, "none", "int", "int", "any", "text"), arr: m.one(2), exp: m.one(3)}
	if m.one(2) {
		s.wild = m.IntN(7)
	}
	if m.one(3) {
		s.zeroTS = 1 + m.IntN(6)
	}
	if m.one(3) {
		s.bad = 2 + m.IntN(20)
	}
	return s
}

// document is the ith of a collection, of n.
func (m *maker) document(s style, i, n int) Doc {
	d := bson.D{}
	add := func(name string, v any) { d = append(d, bson.E{Key: name, Value: v}) }
	switch s.ids {
	case "any":
		add("_id", m.anyID(i))
	case "text":
		add("_id", fmt.Sprint(pick(m, "a", "b", "A"), i))
	case "oid":
		add("_id", bson.ObjectID{byte(i >> 16), byte(i >> 8), byte(i), 7})
	default:
		add("_id", int32(i))
	}
	var rest bson.D
	put := func(name string, v any) { rest = append(rest, bson.E{Key: name, Value: v}) }
	if s.n == "any" && m.one(3) {
		put("n", m.value(1))
	} else {
		put("n", int32(i%7))
	}
	switch s.k {
	case "int":
		put("k", int32((i*7919+13)%(4*n+1)))
	case "any":
		switch {
		case i == 1 && m.one(2):
			put("k", bson.Undefined{})
		case i > 0 || m.one(2):
			put("k", m.anyID(i))
		}
	case "text":
		put("k", fmt.Sprint("k", (i*7919+13)%(4*n+1)))
	}
	if s.arr {
		a := bson.A{}
		for j := range m.IntN(4) {
			a = append(a, bson.D{{Key: "x", Value: pick(m, "a", "b")}, {Key: "p", Value: int32(j)}})
		}
		put("arr", a)
	}
	if s.exp {
		put("exp", bson.DateTime(m.IntN(3000)-1000)) // small dates are taken from the moment when the case begins
	}
	if !m.one(3) {
		put("s", m.text())
	}
	if m.one(3) {
		put("active", m.one(2))
	}
	if s.zeroTS > 0 && m.one(s.zeroTS) {
		put("ts", bson.Timestamp{})
	}
	for _, e := range m.fields(2, m.IntN(s.wild+1)) {
		if !slices.ContainsFunc(rest, func(r bson.E) bool { return r.Key == e.Key }) || m.one(5) {
			rest = append(rest, e)
		}
	}
	if s.bad > 0 && m.one(s.bad) {
		rest = slices.DeleteFunc(rest, func(e bson.E) bool { return e.Key == "n" || e.Key == "s" })
		rest = append(rest, bson.E{Key: "n", Value: "bad"}, bson.E{Key: "s", Value: "bad"}, bson.E{Key: "bad", Value: true})
	}
	if m.one(2) {
		m.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	if m.one(10) { // the _id needn't be the first
		d = append(rest, d...)
	} else {
		d = append(d, rest...)
	}
	data, err := bson.Marshal(d)
	if err != nil {
		panic(err)
	}
	return data
}
