//go:build linux

package anybackfill

import (
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Generate makes the case of a seed.
func Generate(seed uint64) *Case {
	m := newMaker(seed)
	c := &Case{Seed: seed, Standalone: m.one(40)}
	c.Script.Kind = pick(m, kindAdHoc, kindAdHoc, kindAdHoc, kindPipe, kindDelete, kindFunc, kindFunc, kindFunc, kindView, kindBatch, kindRows, kindPanic)
	m.collection(c)
	m.script(c)
	m.knobs(c)
	defer c.sane()
	c.Dry = m.one(4)
	if m.one(25) {
		c.URI = pick(m, "readConcernLevel=linearizable", "readConcernLevel=local&w=1", "readPreference=secondaryPreferred", "retryWrites=false&retryReads=false", "journal=false", "readConcernLevel=snapshot")
	}
	if (c.Script.Kind == kindAdHoc || c.Script.Kind == kindDelete) && m.one(8) {
		c.Door = pick(m, "flags", "spec", "spec")
	}
	m.theme(c)
	if c.Script.Kind != kindAdHoc && c.Script.Kind != kindDelete {
		c.Door = ""
	}
	if m.one(3) {
		for range 1 + m.IntN(3) {
			c.Events = append(c.Events, m.event(true))
		}
	}
	if c.Standalone {
		c.Events = append(c.Events, Event{On: pick(m, "insert", "insert", "update", "any"), N: 1 + m.IntN(8), After: m.one(3), Do: pick(m, "break", "break-reply", "interrupt")})
	}
	m.steps(c)
	return c
}

// sane takes names that stand twice out of documents that a pipeline changes: servers of version 6.0 may end over that, whoever asks.
func (c *Case) sane() {
	pipeline := strings.HasPrefix(c.Script.Update, "[")
	for _, a := range c.Script.Acts {
		pipeline = pipeline || strings.HasPrefix(a.Value, "[") && a.Do == "update"
	}
	if !pipeline {
		return
	}
	for i, d := range c.Coll.Docs {
		c.Coll.Docs[i] = Doc(single(d.raw()))
	}
}

// single is a document without names that stand twice, at any depth.
func single(d bson.Raw) bson.Raw {
	out, seen := bson.D{}, map[string]bool{}
	elements, err := d.Elements()
	if err != nil {
		panic(err)
	}
	for _, e := range elements {
		if seen[e.Key()] {
			continue
		}
		seen[e.Key()] = true
		v := e.Value()
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			out = append(out, bson.E{Key: e.Key(), Value: single(v.Document())})
		case bson.TypeArray:
			list := bson.A{}
			values, _ := v.Array().Values()
			for _, item := range values {
				if doc, ok := item.DocumentOK(); ok {
					list = append(list, single(doc))
				} else {
					list = append(list, item)
				}
			}
			out = append(out, bson.E{Key: e.Key(), Value: list})
		default:
			out = append(out, bson.E{Key: e.Key(), Value: v})
		}
	}
	data, err := bson.Marshal(out)
	if err != nil {
		panic(err)
	}
	return data
}

// theme brings together what rarely meets by chance.
func (m *maker) theme(c *Case) {
	if !m.one(3) {
		return
	}
	s, k := &c.Script, &c.Knobs
	adhoc := func(filter, update string) {
		*s = Script{Kind: kindAdHoc, Filter: filter, Update: update}
		k.Only = nil
	}
	all := new(int)
	switch m.IntN(11) {
	case 0: // a positional operator, and documents that are refused
		adhoc(pick(m, `{"arr.x": "a"}`, `{"arr": {"$elemMatch": {"x": "b"}}}`), pick(m, `{"$set": {"arr.$.p": 5}}`, `{"$inc": {"arr.$.p": 1, "__n": 1}}`))
		c.Coll.Validator, c.Coll.Level, k.MaxFailures = pick(m, `{"n": {"$lt": 6}}`, `{"bad": {"$exists": false}}`, `{"s": {"$ne": "abc"}}`), "strict", all
	case 1: // a field that vanishes or comes
		adhoc(m.filter(), pick(m,
			`[{"$set": {"s": {"$dateFromString": {"dateString": "$s", "onError": "$$REMOVE"}}}}]`, `[{"$set": {"n": {"$convert": {"input": "$n", "to": "int", "onError": "$$REMOVE"}}}}]`,
			`[{"$set": {"s": {"$arrayElemAt": ["$arr.x", 0]}}}]`, `[{"$set": {"n": {"$first": "$arr"}}}]`, `[{"$set": {"s": {"$getField": {"field": "t", "input": "$$ROOT"}}}}]`,
			`[{"$set": {"s": {"$switch": {"branches": [{"case": {"$gt": ["$n", 3]}, "then": "$$REMOVE"}], "default": "$t"}}}}]`, `[{"$set": {"s": {"$ifNull": ["$t", "$$REMOVE"]}, "n": {"$min": "$arr.p"}}}]`,
		))
	case 2: // filters by chance and by the time
		adhoc(pick(m, `{"$sampleRate": 0.5}`, `{"$expr": {"$lt": [{"$rand": {}}, 0.3]}}`, `{"$expr": {"$lt": ["$exp", "$$NOW"]}}`), pick(m, m.update(), m.pipeline()))
		k.Journal = pick(m, "", "full")
	case 3: // one document many times
		*s = Script{Kind: kindRows, Source: pick(m, "csv", "items", "ndjson")}
		ids := 1 + m.IntN(6)
		for i := range 20 + m.IntN(60) {
			s.Rows = append(s.Rows, Row{Op: pick(m, "put", "inc", "inc", "set", "del"), ID: m.IntN(ids), V: i, Key: i + 1})
		}
		*k = Knobs{Chunk: pick(m, 1, 2, 7, 100)}
		c.Coll.Indexes, c.Coll.Validator, c.Coll.Collation = nil, "", ""
		c.Coll.Docs = nil
		for i := range ids {
			if d, err := bson.Marshal(bson.D{{Key: "_id", Value: fmt.Sprint(i)}, {Key: "a", Value: i}}); err == nil && m.one(2) {
				c.Coll.Docs = append(c.Coll.Docs, d)
			}
		}
		c.Steps = append(c.Steps, Step{Do: "foreign-set", Arg: m.IntN(5)}, Step{Do: "undo"}, Step{Do: "undo", Events: []Event{{On: "commitTransaction", N: 1 + m.IntN(3), Do: "cancel"}}}, Step{Do: "undo"})
	case 4: // what is needed is pruned while an undo rests
		c.Steps = append(c.Steps, Step{Do: "undo", Events: []Event{{On: "commitTransaction", N: 1 + m.IntN(3), Do: "interrupt"}, {On: "any", N: 10 + m.IntN(10), Do: "prune"}}})
	case 5: // names of any kind
		adhoc(`{}`, pick(m, `{"$unset": {"a": 1}}`, `{"$set": {"z": 1}}`, `[{"$unset": ["a"]}]`, `[{"$set": {"z": 1}}]`, `{"$inc": {"__n": 1}}`))
		for i := range 1 + m.IntN(6) {
			d := append(bson.D{{Key: "_id", Value: fmt.Sprint("odd", i)}}, m.fields(1, 2+m.IntN(5))...)
			if m.one(3) {
				d = append(d, bson.E{Key: "a", Value: 1}, bson.E{Key: "a", Value: m.value(1)}, bson.E{Key: pick(m, "$d", "a.b", "$set"), Value: 5})
			}
			if data, err := bson.Marshal(d); err == nil {
				c.Coll.Docs = append(c.Coll.Docs, data)
			}
		}
	case 6: // _ids that aren't text
		for i := range 4 {
			if d, err := bson.Marshal(bson.D{{Key: "_id", Value: "\xff" + string(rune('a'+i))}, {Key: "n", Value: i * 3}}); err == nil {
				c.Coll.Docs = append(c.Coll.Docs, d)
			}
		}
		adhoc(`{}`, `{"$inc": {"__n": 1}}`)
		c.Coll.Validator, c.Coll.Level, k.MaxFailures, k.Chunk, k.Key = `{"$or": [{"__n": {"$exists": false}}, {"n": {"$ne": 3}}]}`, "strict", all, 10, ""
	case 7: // the undo goes where the validator refuses
		adhoc(pick(m, `{}`, `{"n": {"$lt": 4}}`), pick(m, `[{"$set": {"n": {"$literal": 3}}}]`, `{"$set": {"n": 3}}`, `{"$set": {"n": 3, "s": "x"}, "$unset": {"bad": 1}}`))
		c.Coll.Validator, c.Coll.Level = `{"n": {"$lt": 4}, "bad": {"$exists": false}}`, pick(m, "strict", "moderate")
	case 8: // the same by flags and by a file
		c.Door = pick(m, "flags", "spec", "spec")
		for i := range 6 {
			sub := bson.D{{Key: "z", Value: 1}, {Key: "b", Value: 2}}
			if i%2 == 1 {
				sub = bson.D{{Key: "b", Value: 2}, {Key: "z", Value: 1}}
			}
			if d, err := bson.Marshal(bson.D{{Key: "_id", Value: fmt.Sprint("door", i)}, {Key: "sub", Value: sub}, {Key: "n", Value: i}, {Key: "x", Value: 1.0}}); err == nil {
				c.Coll.Docs = append(c.Coll.Docs, d)
			}
		}
		adhoc(pick(m, `{"sub": {"z": 1, "b": 2}}`, `{"sub": {"b": 2, "z": 1}}`, `{"x": 1.0}`, `{}`, `{"n": {"$gte": 1e0}}`), pick(m,
			`{"$set": {"addr": {"street": "x", "city": "y", "a": 1}}}`, `{"$set": {"f": 1.0}}`, `{"$set": {"f": 1e3}}`, `{"$set": {"f": {"$numberDouble": "Infinity"}}}`, `{"$set": {"d": "2026-01-01", "e": {"$date": "2026-01-01T00:00:00Z"}}}`,
			`[{"$set": {"addr": {"z": 1, "b": {"y": 1, "x": 2}}, "a": {"$literal": 5.0}}}]`, `{"$set": {"l": {"$numberLong": "5"}, "big": 9007199254740993, "neg": -0.0}}`, `{"$push": {"arr": {"$each": [{"y": 1, "x": 2}], "$position": 0}}}`,
			`{"$set": {"t": "yes", "o": "0x10", "n2": "null", "empty": ""}}`,
		))
		c.Coll.Collation, c.Coll.Validator, k.Key = "", "", ""
	case 9: // a standalone server whose answers get lost
		c.Standalone = true
		if m.one(2) {
			*s = Script{Kind: kindDelete, Filter: `{}`}
		} else {
			adhoc(`{}`, pick(m, `{"$inc": {"__n": 1}}`, `[{"$set": {"z": 1}}]`, `{"$set": {"z": 1}}`))
		}
		k.Chunk, k.Key, k.Journal, k.Limit, k.Only = pick(m, 5, 10, 50), "", "", 0, nil
	default: // by a key, and what failed again by another
		for i := range c.Coll.Docs {
			var d bson.D
			if err := bson.Unmarshal(c.Coll.Docs[i], &d); err != nil {
				continue
			}
			d = append(bson.D{{Key: "_id", Value: i}, {Key: "k", Value: i + 2}, {Key: "n", Value: i % 7}}, dropped(d, "_id", "k", "n")...)
			if data, err := bson.Marshal(d); err == nil {
				c.Coll.Docs[i] = data
			}
		}
		c.Coll.Indexes = []Index{{`{"k": 1}`, `{"unique": true}`}}
		c.Coll.Validator, c.Coll.Level, c.Coll.Collation, k.MaxFailures, k.Key, k.Limit = `{"$or": [{"__n": {"$exists": false}}, {"n": {"$ne": 3}}]}`, "strict", "", all, pick(m, "", "k"), 0
		adhoc(`{}`, `{"$inc": {"__n": 1}}`)
		c.Steps = append(c.Steps, Step{Do: "mend"}, Step{Do: pick(m, "failed-of-other-key", "failed-of-other-collection", "retry-failed")}, Step{Do: "retry-failed"})
	}
}

func dropped(d bson.D, names ...string) (out bson.D) {
	for _, e := range d {
		keep := true
		for _, name := range names {
			keep = keep && e.Key != name
		}
		if keep {
			out = append(out, e)
		}
	}
	return out
}

// collection makes what is there before.
func (m *maker) collection(c *Case) {
	n := pick(m, 0, 1, 2, 5, 20, 20, 40, 40, 100, 100, 300)
	if m.one(60) {
		n = 2000
	}
	s := m.style()
	for i := range n {
		c.Coll.Docs = append(c.Coll.Docs, m.document(s, i, n))
	}
	if n > 0 && m.one(60) {
		big, err := bson.Marshal(bson.D{{Key: "_id", Value: "big"}, {Key: "n", Value: 1}, {Key: "blob", Value: strings.Repeat("x", pick(m, 1<<20, 5<<20, 15<<20))}})
		if err != nil {
			panic(err)
		}
		c.Coll.Docs = append(c.Coll.Docs, big)
	}
	for i := range m.IntN(4) {
		d, err := bson.Marshal(bson.D{{Key: "_id", Value: i}, {Key: "ref", Value: i}, {Key: "m", Value: 0}})
		if err != nil {
			panic(err)
		}
		c.Coll.Other = append(c.Coll.Other, d)
	}
	if m.one(5) {
		c.Coll.Collation = pick(m, `{"locale": "en", "strength": 2}`, `{"locale": "de", "strength": 1}`, `{"locale": "en", "numericOrdering": true}`, `{"locale": "simple"}`)
	}
	for range m.IntN(3) {
		c.Coll.Indexes = append(c.Coll.Indexes, pick(m,
			Index{`{"n": 1}`, ``}, Index{`{"s": 1}`, ``}, Index{`{"s": 1}`, `{"unique": true}`}, Index{`{"arr.x": 1}`, ``}, Index{`{"a": 1}`, `{"sparse": true}`},
			Index{`{"n": 1, "s": -1}`, `{"partialFilterExpression": {"n": {"$gt": 2}}}`}, Index{`{"a": 1}`, `{"unique": true, "partialFilterExpression": {"a": {"$type": "number"}}}`},
			Index{`{"s": "text"}`, ``}, Index{`{"$**": 1}`, ``}, Index{`{"n": "hashed"}`, ``}, Index{`{"exp": 1}`, ``},
		))
	}
	if s.k != "none" && m.one(2) {
		c.Coll.Indexes = append(c.Coll.Indexes, pick(m,
			Index{`{"k": 1}`, `{"unique": true}`}, Index{`{"k": 1}`, `{"unique": true}`}, Index{`{"k": 1}`, `{"unique": true}`}, Index{`{"k": -1}`, `{"unique": true}`},
			Index{`{"k": 1}`, `{"unique": true, "sparse": true}`},
			Index{`{"k": 1}`, `{"unique": true, "partialFilterExpression": {"active": true}}`},
			Index{`{"k": 1}`, `{"unique": true, "partialFilterExpression": {"k": {"$gt": 0}}}`},
			Index{`{"k": 1}`, `{"unique": true, "collation": {"locale": "en", "strength": 2}}`},
			Index{`{"k": 1}`, ``}, Index{`{"k": 1, "n": 1}`, `{"unique": true}`}, Index{`{"k": "hashed"}`, ``},
			Index{`{"k": 1}`, `{"unique": true, "hidden": true}`},
		))
	}
	if s.k != "none" && m.one(6) {
		c.Coll.Indexes = append(c.Coll.Indexes, pick(m, Index{`{"k": 1}`, `{"sparse": true}`}, Index{`{"k": 1}`, `{"unique": true, "collation": {"locale": "en", "strength": 2}}`}, Index{`{"k": 1}`, `{"partialFilterExpression": {"n": 3}}`}))
	}
	if m.one(6) {
		c.Coll.Validator = pick(m, `{"n": {"$lt": 7}}`, `{"bad": {"$exists": false}}`, `{"$expr": {"$ne": ["$s", "abc"]}}`, `{"$jsonSchema": {"required": ["n"]}}`, `{"z": {"$exists": false}}`)
		c.Coll.Level = pick(m, "strict", "moderate")
	}
}

// filter is one that the server knows, mostly.
func (m *maker) filter() string {
	if m.one(3) {
		return `{}`
	}
	return pick(m,
		`{"n": {"$gt": 2}}`, `{"n": {"$lte": 3}}`, `{"n": 1}`, `{"s": "abc"}`, `{"s": {"$gte": "a"}}`, `{"s": {"$in": ["a", "ABC", null]}}`, `{"a": {"$exists": true}}`,
		`{"a": {"$type": ["number", "string"]}}`, `{"$or": [{"n": 2}, {"s": "a"}]}`, `{"$nor": [{"n": {"$lt": 3}}]}`, `{"z": {"$exists": false}}`, `{"z": null}`,
		`{"$expr": {"$gt": ["$n", 2]}}`, `{"$expr": {"$eq": [{"$type": "$s"}, "string"]}}`, `{"$where": "this.n > 2"}`, `{"n": {"$mod": [2, 0]}}`,
		`{"$sampleRate": 0.5}`, `{"$expr": {"$lt": [{"$rand": {}}, 0.5]}}`, `{"$expr": {"$lt": ["$exp", "$$NOW"]}}`, `{"$expr": {"$gt": ["$exp", "$$NOW"]}}`,
		`{"arr.x": "a"}`, `{"arr": {"$elemMatch": {"x": "a", "p": {"$gte": 1}}}}`, `{"arr.0": {"$exists": true}}`, `{"arr": {"$size": 2}}`, `{"s": {"$regularExpression": {"pattern": "^a", "options": "i"}}}`,
		`{"$jsonSchema": {"required": ["s"]}}`, `{"$and": [{"n": {"$gte": 1}}, {"n": {"$lte": 5}}]}`, `{"active": true}`, `{"ts": {"$exists": true}}`, `{"$comment": "x", "n": {"$ne": 3}}`,
		`{"_id": {"$gt": 3}}`, `{"_id": {"$type": "string"}}`, `{"$expr": {"$lt": ["$_id", 10]}}`, `{"$expr": {"$and": [{"$lt": ["$exp", "$$NOW"]}, {"$gt": ["$n", 1]}]}}`,
		`{"$or": [{"$expr": {"$lt": ["$exp", "$$NOW"]}}, {"s": "a"}]}`, `{"$alwaysTrue": 1}`, `{"k": {"$gt": 5}}`, `{"a": {"$not": {"$gt": 1}}}`,
	)
}

// byChance tells whether a filter or a change isn't the same twice.
func byChance(text string) bool {
	for _, word := range []string{"$rand", "$sampleRate", "$$NOW", "$$CLUSTER_TIME", "$currentDate", "$sample\"", "$function"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// constant is a value as extended JSON.
func (m *maker) constant() string {
	for {
		v := m.value(1)
		if text, ok := v.(string); ok && (strings.HasPrefix(text, "$") || strings.HasPrefix(text, "\xff") || strings.HasPrefix(text, "\x00")) {
			continue
		}
		data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, true, false)
		if err != nil {
			continue
		}
		out := strings.TrimSuffix(strings.TrimPrefix(string(data), `{"v":`), `}`)
		var back bson.Raw
		if bson.UnmarshalExtJSON(data, true, &back) != nil {
			continue
		}
		return out
	}
}

const once = `"__n": {"$add": [{"$ifNull": ["$__n", 0]}, 1]}`

// pipeline is one of an update.
func (m *maker) pipeline() string {
	path := pick(m, "a", "b", "n", "s", "z", "sub", "sub.x", "a.b", "t", "arr", "ts")
	stage := pick(m,
		fmt.Sprintf(`{"$set": {"%s": {"$literal": %s}}}`, path, m.constant()),
		fmt.Sprintf(`{"$set": {"%s": "$%s"}}`, path, pick(m, "b", "s", "n", "sub", "arr", "missing", "arr.x", "exp")),
		fmt.Sprintf(`{"$unset": ["%s"]}`, path), fmt.Sprintf(`{"$unset": ["%s", "b"]}`, path),
		`{"$set": {"n": {"$add": ["$n", 1]}}}`, `{"$set": {"s": {"$toUpper": "$s"}}}`, `{"$set": {"s": {"$concat": ["$s", "x"]}}}`, `{"$set": {"at": {"$toDate": "$s"}}}`,
		`{"$set": {"s": {"$dateFromString": {"dateString": "$s", "onError": "$$REMOVE"}}}}`, `{"$set": {"n": {"$convert": {"input": "$n", "to": "int", "onError": "$$REMOVE", "onNull": "$$REMOVE"}}}}`,
		`{"$set": {"a": "$$REMOVE", "b": 1}}`, `{"$set": {"s": {"$cond": [{"$gt": ["$n", 3]}, "$$REMOVE", "$s"]}}}`, `{"$set": {"a": {"$mergeObjects": ["$sub", {"q": 1}]}}}`,
		`{"$set": {"arr": {"$map": {"input": "$arr", "in": {"$mergeObjects": ["$$this", {"p": 9}]}}}}}`, `{"$set": {"arr.p": 7}}`, `{"$set": {"n": {"$size": "$arr"}}}`,
		`{"$set": {"a": "$$ROOT"}}`, `{"$set": {"a": {"$getField": {"field": "a.b", "input": "$$ROOT"}}}}`, `{"$set": {"r": {"$rand": {}}}}`, `{"$set": {"at": "$$NOW"}}`,
		`{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"z": 1}]}}`, `{"$replaceWith": {"_id": "$_id", "n": "$n", "s": "$s"}}`, `{"$replaceWith": {"$mergeObjects": [{"z": 1}, "$$ROOT"]}}`,
		`{"$project": {"_id": 0}}`, `{"$project": {"n": 1, "s": 1, "k": 1}}`, `{"$project": {"a": 0}}`, `{"$replaceWith": {"$setField": {"field": "a.b", "input": "$$ROOT", "value": 1}}}`,
		`{"$set": {"s": {"$trim": {"input": "$s"}}, "t": {"$split": ["$s", "b"]}}}`, `{"$addFields": {"z": {"$ifNull": ["$z", 0]}}}`, `{"$set": {"s": {"$arrayElemAt": [["$a", "$b"], 5]}}}`,
		`{"$set": {"b": {"$first": "$arr"}, "c": {"$mod": [7, {"$add": ["$n", 1]}]}}}`, `{"$set": {"t": {"$toLower": "$s"}, "s": {"$strLenCP": "$s"}}}`,
	)
	if m.one(3) {
		return `[` + stage + `]`
	}
	if m.one(2) {
		return `[` + stage + `, {"$set": {` + once + `}}]`
	}
	return `[{"$set": {` + once + `}}, ` + stage + `]`
}

// update is an update document.
func (m *maker) update() string {
	path := pick(m, "a", "b", "n", "s", "z", "sub", "sub.x", "t", "arr", "a.b", "ts", "arr.0")
	op := pick(m,
		fmt.Sprintf(`"$set": {"%s": %s}`, path, m.constant()), fmt.Sprintf(`"$set": {"%s": %s}`, path, m.constant()), fmt.Sprintf(`"$unset": {"%s": 1}`, path),
		`"$rename": {"a": "q"}`, `"$rename": {"s": "t"}`, `"$push": {"arr": {"x": "a", "p": 5}}`, `"$push": {"arr": {"$each": [1, 2], "$slice": -2}}`, `"$pull": {"arr": {"x": "a"}}`,
		`"$set": {"arr.$.p": 5}`, `"$set": {"arr.$[].p": 5}`, `"$min": {"n": 2}`, `"$max": {"n": 5}`, `"$mul": {"n": 2}`, `"$inc": {"n": 1}`, `"$currentDate": {"at": true}`,
		`"$currentDate": {"ts": {"$type": "timestamp"}}`, `"$bit": {"n": {"xor": 5}}`, `"$setOnInsert": {"z": 1}`, `"$addToSet": {"arr": 1}`, `"$pop": {"arr": 1}`, `"$unset": {"a": 1, "b": 1, "s": 1}`,
		`"$set": {"z": 1, "b": 2, "a": 3}`, `"$min": {"ts": {"$timestamp": {"t": 0, "i": 0}}}`,
	)
	if m.one(3) || strings.Contains(op, "$inc") {
		return `{` + op + `}`
	}
	return `{` + op + `, "$inc": {"__n": 1}}`
}

// script makes what is run.
func (m *maker) script(c *Case) {
	s := &c.Script
	s.Filter = m.filter()
	switch s.Kind {
	case kindAdHoc:
		if s.Update = m.update(); m.one(2) {
			s.Update = m.pipeline()
		}
		if strings.Contains(s.Update, "arr.$.") && !m.one(4) {
			s.Filter = pick(m, `{"arr.x": "a"}`, `{"arr": {"$elemMatch": {"x": "a"}}}`, `{"arr.x": "b"}`)
		}
	case kindPipe:
		s.Update = m.pipeline()
		s.Again = m.one(3)
	case kindPanic:
		s.Acts = []Act{{Do: "inc"}}
	case kindFunc, kindBatch, kindView:
		for range 1 + m.IntN(4) {
			s.Acts = append(s.Acts, m.act(s.Kind))
		}
		m.stages(s)
		if s.Stages == "" && s.Kind == kindFunc && m.one(8) {
			s.Projection = pick(m, `{"n": 1, "s": 1}`, `{"a": 0}`, `{"_id": 0, "n": 1}`)
		}
		s.Again = m.one(8)
	case kindRows:
		s.Filter = ""
		s.Source = pick(m, "csv", "ndjson", "items", "csv-cr", "csv-crlf", "csv-bom")
		n, ids := m.IntN(60), 1+m.IntN(20)
		for i := range n {
			r := Row{Op: pick(m, "put", "put", "del", "inc", "set", "none"), ID: m.IntN(ids), V: i, Key: i + 1}
			if m.one(30) {
				r.Op = "bad"
			}
			s.Rows = append(s.Rows, r)
		}
		if s.Source == "items" && m.one(3) && n > 1 { // keys that stand still
			s.Rows[m.IntN(n-1)+1].Key = 1 + m.IntN(n)
		}
	}
}

// act is what a function returns.
func (m *maker) act(kind string) Act {
	path := pick(m, "a", "b", "z", "sub.x", "t", "s", "ts", "n")
	simple := []Act{
		{Do: "none"},
		{Do: "set", Path: path, Value: m.constant()},
		{Do: "set", Path: path, Value: m.constant()},
		{Do: "inc"},
		{Do: "inc"},
		{Do: "upper"},
		{Do: "unset", Path: path},
		{Do: "set-unset", Path: path, Value: m.constant()},
		{Do: "update", Value: m.update()},
		{Do: "update", Value: m.pipeline()},
		{Do: "delete"},
		{Do: "also"},
		{Do: "also-update"},
		{Do: "set-also", Path: path, Value: m.constant()},
		{Do: "fail"},
		{Do: "panic"},
		{Do: "transient"},
		{Do: "delete-set"},
		{Do: "update-set", Value: `{"$inc": {"n": 1}}`},
		{Do: "note"},
		{Do: "note-quietly"},
		{Do: "read"},
		{Do: "also-delete"},
		{Do: "also-fail"},
	}
	if kind != kindView {
		simple = append(simple, Act{Do: "replace"}, Act{Do: "replace"}, Act{Do: "in-place"}, Act{Do: "in-place-set"}, Act{Do: "upsert"}, Act{Do: "replace-set"}, Act{Do: "scribble"})
	}
	for {
		a := pick(m, simple...)
		if a.Do == "update" && byChance(a.Value) && !m.one(3) {
			continue
		}
		return a
	}
}

// stages makes some.
func (m *maker) stages(s *Script) {
	if !m.one(5) || s.Kind == kindView {
		return
	}
	s.Stages = pick(m,
		`[{"$match": {"n": {"$gt": 1}}}]`, `[{"$sort": {"n": 1}}]`, `[{"$sort": {"n": -1, "_id": -1}}]`, `[{"$sort": {"_id": -1}}]`, `[{"$unwind": "$arr"}]`, `[{"$unwind": {"path": "$arr", "preserveNullAndEmptyArrays": true}}]`,
		`[{"$limit": 3}]`, `[{"$skip": 1}]`, `[{"$sample": {"size": 5}}]`, `[{"$group": {"_id": "$_id", "n": {"$first": "$n"}, "k": {"$first": "$k"}}}]`, `[{"$group": {"_id": "$n"}}]`,
		`[{"$lookup": {"from": "other", "localField": "n", "foreignField": "ref", "as": "found"}}]`, `[{"$set": {"extra": 1}}]`, `[{"$set": {"_id": 5}}]`, `[{"$project": {"_id": 0, "n": 1}}]`,
		`[{"$lookup": {"from": "other", "localField": "n", "foreignField": "ref", "as": "found"}}, {"$unwind": "$found"}]`, `[{"$unionWith": "other"}]`, `[{"$sortByCount": "$n"}]`,
	)
}

// knobs makes the run's.
func (m *maker) knobs(c *Case) {
	k := &c.Knobs
	k.Chunk = pick(m, 0, 1, 2, 3, 5, 7, 10, 10, 50, 1000)
	if len(c.Coll.Docs) > 500 {
		k.Chunk = pick(m, 0, 100, 1000)
	}
	k.Workers = pick(m, 0, 1, 1, 2, 4)
	k.Journal = pick(m, "", "", "", "changed", "full", "full", "ids", "off")
	for _, x := range c.Coll.Indexes {
		if strings.HasPrefix(x.Keys, `{"k"`) && !m.one(3) && c.Script.Kind != kindRows {
			k.Key = "k"
		}
	}
	if m.one(8) {
		k.Fields = pick(m, []string{"a"}, []string{"n", "__n"}, []string{"__n", "a", "b", "n", "s", "z", "sub", "t", "arr", "at", "q", "ts"}, []string{"s", "__n"}, []string{"z"})
	}
	if m.one(10) && c.Script.Kind != kindRows {
		k.Limit = 1 + m.IntN(len(c.Coll.Docs)+2)
	}
	if m.one(10) && c.Script.Kind != kindRows && len(c.Coll.Docs) > 0 {
		for range 1 + m.IntN(5) {
			k.Only = append(k.Only, m.word(pick(m, c.Coll.Docs...)))
		}
	}
	if m.one(2) {
		k.MaxFailures = new(int)
		if m.one(6) {
			*k.MaxFailures = pick(m, 1, 3, -1)
		}
	}
	k.Hold = m.one(15)
}

// word names a document by its _id.
func (m *maker) word(d Doc) string {
	id := d.id()
	if n, ok := id.Int32OK(); ok && m.one(2) {
		return fmt.Sprint(n)
	}
	if text, ok := id.StringValueOK(); ok && m.one(2) && text != "" {
		return text
	}
	data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: id}}, true, false)
	if err != nil {
		return "0"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(data), `{"v":`), `}`)
}

// event is one while a run goes on.
func (m *maker) event(own bool) Event {
	e := Event{
		On: pick(m, "commitTransaction", "commitTransaction", "find", "aggregate", "update", "insert", "delete", "any", "any"), N: 1 + m.IntN(12), After: m.one(2), Arg: m.IntN(1000),
		Do: pick(m, "foreign-set", "foreign-set", "foreign-n", "foreign-insert", "foreign-remove", "interrupt", "interrupt", "break", "break-reply", "break-reply", "tune"),
	}
	if m.one(4) {
		e.Do = pick(m, "rename", "drop", "recreate", "replace", "drop-index", "rename-back", "swap-index")
	}
	if !own && m.one(8) {
		e.Do = pick(m, "prune", "kill", "kill")
	}
	if own && m.one(5) {
		e.Do = pick(m, "kill", "kill", "kill", "foreign-k", "cancel", "pause", "validator", "prune")
	}
	if m.one(3) {
		e.N = 1 + m.IntN(60)
	}
	return e
}

// steps are what people do after the run.
func (m *maker) steps(c *Case) {
	add := func(do string) {
		s := Step{Do: do, Arg: m.IntN(1000)}
		if strings.HasPrefix(do, "undo") && m.one(5) || do == "retry-failed" && m.one(8) {
			for range 1 + m.IntN(2) {
				s.Events = append(s.Events, m.event(false))
			}
		}
		c.Steps = append(c.Steps, s)
	}
	if m.one(3) {
		add(pick(m, "mend", "validator", "none"))
		for range 1 + m.IntN(3) {
			add("retry-failed")
		}
	}
	if m.one(8) {
		add(pick(m, "failed-of-other-key", "failed-of-other-collection"))
	}
	if m.one(10) {
		add("retry")
	}
	if m.one(3) {
		for range 1 + m.IntN(4) {
			add(pick(m, "foreign-set", "foreign-set", "foreign-n", "foreign-remove", "foreign-replace"))
		}
	}
	if m.one(12) {
		add(pick(m, "rename", "recreate", "drop"))
	}
	if m.one(3) {
		add("undo-dry")
	}
	add("undo")
	if m.one(3) {
		add("undo")
	}
	if m.one(3) {
		add("redo")
		if m.one(2) {
			add("undo-redo")
		}
	}
	if m.one(12) {
		add("prune")
		add("undo")
	}
}
