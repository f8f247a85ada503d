//go:build linux

package anybackfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// tri is yes, no, or who knows.
type tri int

const (
	no tri = iota
	yes
	maybe
)

// fate is what has to become of a document.
type fate struct {
	before bson.Raw
	chosen bool     // the filter itself matches
	match  tri      // whether it is one of those to change
	after  bson.Raw // nil: it is deleted
	fails  tri
	why    string // part of the reason, if it is known
	alts   []bson.Raw
	act    *Act
}

// forecast is what has to become of a collection.
type forecast struct {
	docs    map[string]*fate
	refused error  // why the server itself doesn't take the filter or the change
	unsure  string // why a refusal is fine
	matched int    // -1: not known
	rows    bool
}

// seed puts documents into a new collection, byte for byte: those that an insertion would change are written by a pipeline.
func seed(ctx context.Context, db *mongo.Database, name string, c *Collection, docs []bson.Raw) (*mongo.Collection, error) {
	opts := options.CreateCollection()
	if c.Collation != "" {
		var col options.Collation
		d := filterOf(c.Collation)
		col.Locale, _ = d.Lookup("locale").StringValueOK()
		strength, _ := d.Lookup("strength").AsInt64OK()
		col.Strength = int(strength)
		col.NumericOrdering, _ = d.Lookup("numericOrdering").BooleanOK()
		opts.SetCollation(&col)
	}
	if err := db.CreateCollection(ctx, name, opts); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	coll := db.Collection(name)
	var plain []bson.Raw
	for _, d := range docs {
		if !hasEmptyTimestamp(d) {
			plain = append(plain, d)
		}
	}
	if len(plain) > 0 {
		if _, err := coll.InsertMany(ctx, plain, options.InsertMany().SetOrdered(false)); err != nil {
			if _, bulk := errors.AsType[mongo.BulkWriteException](err); !bulk { // those that can't be are left out
				return nil, fmt.Errorf("insert: %w", err)
			}
		}
	}
	var models []mongo.WriteModel
	for _, d := range docs {
		if hasEmptyTimestamp(d) {
			models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: bson.D{{Key: "$eq", Value: d.Lookup("_id")}}}}).
				SetUpdate(mongo.Pipeline{{{Key: "$replaceWith", Value: bson.D{{Key: "$literal", Value: d}}}}}).SetUpsert(true))
		}
	}
	if len(models) > 0 {
		if _, err := coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
			if _, bulk := errors.AsType[mongo.BulkWriteException](err); !bulk {
				return nil, fmt.Errorf("empty timestamps: %w", err)
			}
		}
	}
	return coll, nil
}

func hasEmptyTimestamp(d bson.Raw) bool {
	elements, _ := d.Elements()
	for _, e := range elements {
		if e.Value().Type == bson.TypeTimestamp && bytes.Equal(e.Value().Value, make([]byte, 8)) {
			return true
		}
	}
	return false
}

// dress gives a collection its validator.
func dress(ctx context.Context, db *mongo.Database, name string, c *Collection) error {
	if c.Validator == "" {
		return nil
	}
	return db.RunCommand(ctx, bson.D{{Key: "collMod", Value: name}, {Key: "validator", Value: filterOf(c.Validator)}, {Key: "validationLevel", Value: c.Level}}).Err()
}

// indexes gives a collection its indexes. Those that can't be are left out.
func indexes(ctx context.Context, db *mongo.Database, name string, c *Collection) (made []Index) {
	for i, x := range c.Indexes {
		spec := bson.D{{Key: "key", Value: filterOf(x.Keys)}, {Key: "name", Value: fmt.Sprint("x", i)}}
		elements, _ := filterOf(x.Options).Elements()
		for _, e := range elements {
			spec = append(spec, bson.E{Key: e.Key(), Value: e.Value()})
		}
		if db.RunCommand(ctx, bson.D{{Key: "createIndexes", Value: name}, {Key: "indexes", Value: bson.A{spec}}}).Err() == nil {
			made = append(made, x)
		}
	}
	return made
}

// now makes the small dates of exp those of the moment.
func atTime(docs []Doc, now time.Time) []bson.Raw {
	out := make([]bson.Raw, len(docs))
	for i, d := range docs {
		out[i] = append(bson.Raw(nil), d...)
		v := out[i].Lookup("exp")
		if ms, ok := v.DateTimeOK(); ok && ms > -100_000 && ms < 100_000 {
			t := bson.DateTime(now.UnixMilli() + ms)
			_, data, _ := bson.MarshalValue(t)
			copy(v.Value, data) // it is a part of the document
		}
	}
	return out
}

// foresee finds out what has to become of the documents, on a copy of the collection.
func (c *Case) foresee(ctx context.Context, db *mongo.Database, before map[string]bson.Raw, made []Index) (*forecast, error) {
	f := &forecast{docs: map[string]*fate{}, matched: -1}
	if c.Script.Kind == kindRows {
		return f, c.foreseeRows(f, before)
	}
	var docs []bson.Raw
	for key, d := range before {
		f.docs[key] = &fate{before: d}
		docs = append(docs, d)
	}
	coll, err := seed(ctx, db, "copy", &c.Coll, docs)
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	defer func() { _ = coll.Drop(context.WithoutCancel(ctx)) }() // the database goes anyway
	if err := dress(ctx, db, "copy", &c.Coll); err != nil {
		return nil, err
	}
	if copied, err := bytesOf(ctx, coll); err != nil || !equalAll(copied, before) {
		return nil, fmt.Errorf("the copy is another: %w", err)
	}
	if err := c.choose(ctx, coll, f); err != nil {
		return nil, err
	}
	if err := c.apply(ctx, coll, f); err != nil {
		return nil, err
	}
	c.doubts(f, made)
	return f, nil
}

func equalAll(a, b map[string]bson.Raw) bool {
	if len(a) != len(b) {
		return false
	}
	for k, d := range a {
		if !bytes.Equal(d, b[k]) {
			return false
		}
	}
	return true
}

// choose finds the documents that are to change.
func (c *Case) choose(ctx context.Context, coll *mongo.Collection, f *forecast) error {
	matches := maybe
	if !byChance(c.Script.Filter) {
		matches = yes
	}
	var filter any = filterOf(c.Script.Filter)
	if matches == maybe {
		filter = bson.D{}
	}
	items := map[string]int{}
	vague := false
	if c.Script.Stages == "" {
		cur, err := coll.Find(ctx, filter, options.Find().SetHint(bson.D{{Key: "$natural", Value: 1}}))
		if err != nil {
			f.refused, f.unsure = err, err.Error()
			return nil //nolint:nilerr // that is what the run will say
		}
		for cur.Next(ctx) {
			items[keyOf(cur.Current)]++
		}
		if err := cur.Err(); err != nil {
			f.refused, f.unsure = err, err.Error()
			return nil //nolint:nilerr // that is what the run will say
		}
	} else {
		for _, word := range []string{"$limit", "$skip", "$sample", "$group", "$unionWith", "$sortByCount", `"_id"`, "$unwind"} {
			vague = vague || strings.Contains(c.Script.Stages, word)
		}
		if vague {
			f.unsure = "stages"
		}
		pipeline := mongo.Pipeline{{{Key: "$match", Value: filter}}}
		values, _ := extJSON(c.Script.Stages).Array().Values()
		for _, v := range values {
			var stage bson.D
			if err := bson.Unmarshal(v.Document(), &stage); err != nil {
				return err
			}
			pipeline = append(pipeline, stage)
		}
		cur, err := coll.Aggregate(ctx, pipeline)
		if err != nil {
			f.refused, f.unsure = err, err.Error()
			return nil //nolint:nilerr // that is what the run will say
		}
		for cur.Next(ctx) {
			items[keyOf(cur.Current)]++
		}
	}
	only := c.only()
	for key, d := range f.docs {
		d.chosen = items[key] > 0 && matches == yes
		switch {
		case only != nil && !only(d.before.Lookup("_id")):
			d.match = no
		case vague:
			d.match = maybe
		case items[key] > 0:
			d.match = matches
		}
		if c.Knobs.Limit > 0 && d.match == yes {
			d.match = maybe
		}
	}
	if matches == yes && !vague && c.Knobs.Limit == 0 {
		f.matched = 0
		for _, d := range f.docs {
			if d.match == yes {
				f.matched++
			}
		}
	}
	return nil
}

// only is what the words of --only name.
func (c *Case) only() func(id bson.RawValue) bool {
	if len(c.Knobs.Only) == 0 {
		return nil
	}
	fold := func(s string) string { return s }
	if c.Coll.Collation != "" && !strings.Contains(c.Coll.Collation, "simple") {
		fold = strings.ToLower // near enough for our texts
	}
	return func(id bson.RawValue) bool {
		for _, word := range c.Knobs.Only {
			if text, ok := id.StringValueOK(); ok && fold(text) == fold(word) {
				return true
			}
			if text, ok := id.SymbolOK(); ok && fold(text) == fold(word) {
				return true
			}
			var doc bson.Raw
			if bson.UnmarshalExtJSON([]byte(`{"v": `+word+`}`), false, &doc) != nil {
				continue
			}
			v := doc.Lookup("v")
			if v.Equal(id) || sameNumber(v, id) {
				return true
			}
			if a, ok := v.StringValueOK(); ok {
				if b, ok := id.StringValueOK(); ok && fold(a) == fold(b) {
					return true
				}
			}
		}
		return false
	}
}

func sameNumber(a, b bson.RawValue) bool {
	x, ok := a.AsFloat64OK()
	y, also := b.AsFloat64OK()
	return ok && also && x == y
}

// apply changes the copy, one document at a time, each by an update of its own.
func (c *Case) apply(ctx context.Context, coll *mongo.Collection, f *forecast) error {
	if c.Script.Update != "" { // what the server doesn't take whatever the documents are
		explain := bson.D{{Key: "update", Value: coll.Name()}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: filterOf(c.Script.Filter)}, {Key: "u", Value: updateOf(c.Script.Update)}, {Key: "multi", Value: true}}}}}
		if err := coll.Database().RunCommand(ctx, bson.D{{Key: "explain", Value: explain}, {Key: "verbosity", Value: "queryPlanner"}}).Err(); err != nil {
			f.refused, f.unsure = err, err.Error()
		}
	}
	var models []mongo.WriteModel
	var keys []string
	for key, d := range f.docs {
		if d.match == no {
			continue
		}
		one := bson.D{{Key: "_id", Value: bson.D{{Key: "$eq", Value: d.before.Lookup("_id")}}}}
		m := c.model(d, one)
		if m == nil {
			continue
		}
		models, keys = append(models, m), append(keys, key)
	}
	if len(models) > 0 {
		if _, err := coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
			var bulk mongo.BulkWriteException
			if !errors.As(err, &bulk) {
				f.refused, f.unsure = err, err.Error()
				return nil
			}
			for _, e := range bulk.WriteErrors {
				d := f.docs[keys[e.Index]]
				d.fails, d.why = yes, e.Message
			}
		}
	}
	after, err := bytesOf(ctx, coll)
	if err != nil {
		return err
	}
	for key, d := range f.docs {
		if d.after = after[key]; d.fails == yes {
			d.after = d.before
		}
	}
	return nil
}

// model is the update of one document, or nil.
func (c *Case) model(d *fate, one bson.D) mongo.WriteModel {
	if c.Script.Kind == kindDelete {
		return mongo.NewDeleteOneModel().SetFilter(one)
	}
	if c.Script.Update != "" {
		update := updateOf(c.Script.Update)
		if raw, ok := update.(bson.Raw); ok && strings.Contains(c.Script.Update, ".$.") && d.chosen {
			return mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "$and", Value: bson.A{one, filterOf(c.Script.Filter)}}}).SetUpdate(raw)
		}
		return mongo.NewUpdateOneModel().SetFilter(one).SetUpdate(update)
	}
	return c.actModel(d, one)
}

// seen is what the function is given of a document. Of a name that occurs twice, a struct has what the driver puts there.
func (c *Case) seen(before bson.Raw) bson.Raw {
	var p Part
	if c.Script.Kind != kindView || bson.Unmarshal(before, &p) != nil {
		return before
	}
	return p.doc()
}

func (c *Case) actModel(d *fate, one bson.D) mongo.WriteModel {
	id := d.before.Lookup("_id")
	if c.Script.Kind == kindPanic && touchy(d.before) {
		d.fails, d.why = yes, "panic"
		return nil
	}
	a := c.actOf(id)
	d.act = a
	set := func(path string, v any) mongo.WriteModel {
		return mongo.NewUpdateOneModel().SetFilter(one).SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: path, Value: v}}}})
	}
	replace := func(doc any) mongo.WriteModel { return mongo.NewReplaceOneModel().SetFilter(one).SetReplacement(doc) }
	inc := set("n", bump(c.seen(d.before)))
	same := func(doc any) { // whoever replaces a document by itself may as well leave it: the server would only fill an empty timestamp
		if data, err := bson.Marshal(doc); err == nil && bytes.Equal(data, d.before) {
			d.alts = append(d.alts, d.before)
		}
	}
	switch a.Do {
	case "set", "set-also":
		return set(a.Path, extJSON(a.Value))
	case "inc", "also-update", "also-delete", "transient", "read", "scribble":
		return inc
	case "note":
		if noted(id) {
			d.fails, d.why = yes, "duplicate key"
			return nil
		}
		return inc
	case "note-quietly":
		if noted(id) {
			d.fails = maybe
		}
		return inc
	case "upper", "in-place-set":
		if s, ok := c.seen(d.before).Lookup("s").StringValueOK(); ok {
			return set("s", upper(s))
		}
		return nil
	case "in-place":
		doc := append(bson.Raw(nil), d.before...)
		upperInPlace(doc)
		same(doc)
		return replace(doc)
	case "unset":
		return mongo.NewUpdateOneModel().SetFilter(one).SetUpdate(bson.D{{Key: "$unset", Value: bson.D{{Key: a.Path, Value: 1}}}})
	case "set-unset":
		return mongo.NewUpdateOneModel().SetFilter(one).SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: a.Path, Value: extJSON(a.Value)}}}, {Key: "$unset", Value: bson.D{{Key: "c", Value: 1}}}})
	case "update":
		return mongo.NewUpdateOneModel().SetFilter(one).SetUpdate(updateOf(a.Value))
	case "delete":
		return mongo.NewDeleteOneModel().SetFilter(one)
	case "fail", "also-fail", "panic":
		d.fails, d.why = yes, map[string]string{"panic": "panic"}[a.Do]
		if a.Do != "panic" {
			d.why = errBad.Error()
		}
		return nil
	case "delete-set":
		d.fails = maybe
		return mongo.NewDeleteOneModel().SetFilter(one)
	case "update-set":
		d.fails = maybe
		return mongo.NewUpdateOneModel().SetFilter(one).SetUpdate(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$set", Value: bson.D{{Key: "z", Value: 1}}}})
	case "replace", "upsert":
		same(replacement(d.before))
		return replace(replacement(d.before))
	case "replace-set":
		d.fails = maybe
		r := replacement(d.before)
		for i := range r {
			if r[i].Key == "z" {
				r[i].Value = 2
			}
		}
		return replace(r)
	default:
		return nil
	}
}

// doubts are reasons for which a run may be refused, or documents may fail, that the copy can't tell.
func (c *Case) doubts(f *forecast, made []Index) {
	doubt := func(why string) {
		if f.unsure == "" {
			f.unsure = why
		}
	}
	k := c.Knobs
	if k.Key != "" {
		complete := false
		for _, x := range made {
			if x.Keys == `{"k": 1}` && x.Options == `{"unique": true}` {
				complete = true
			}
		}
		if !complete {
			doubt("the key's index")
		}
		if c.Coll.Collation != "" {
			doubt("the key and a collation")
		}
		for _, d := range f.docs {
			if !bytes.Equal(keyValue(d.before), keyValue(d.after)) && d.after != nil {
				doubt("the key changes")
			}
			if v := d.before.Lookup("k"); v.Type == bson.TypeArray || v.Type == bson.TypeUndefined || v.IsZero() {
				doubt("odd keys")
			}
		}
		for _, a := range c.Script.Acts {
			if a.Do == "replace" || a.Do == "upsert" {
				doubt("replacements and the key")
			}
		}
		if len(k.Only) > 0 {
			doubt("--only by another key")
		}
	}
	unique := false
	for _, x := range made {
		unique = unique || strings.Contains(x.Options, "unique")
	}
	for _, d := range f.docs {
		if unique && d.fails == no && d.match != no {
			d.fails = maybe // another document may be in the way
		}
		if d.before.Lookup("__rikki_before").Type != 0 {
			doubt("a reserved name")
		}
	}
	for _, x := range made {
		if strings.Contains(x.Keys, "text") || strings.Contains(x.Keys, "hashed") || strings.Contains(x.Keys, "k") {
			for _, d := range f.docs {
				if d.match != no && d.fails == no {
					d.fails = maybe // an index that doesn't take the value
				}
			}
		}
	}
	text := c.Script.Update + asJSON(c.Script.Acts)
	if len(k.Fields) > 0 && (c.Script.Update != "" || c.Script.Kind == kindDelete || guarded(f, k.Fields)) {
		doubt("the fields guard")
	}
	if strings.Contains(text, `"_id"`) || strings.Contains(text, "$rename") || strings.Contains(text, ".$.") || strings.Contains(text, "$project") {
		doubt("the change and the _id")
	}
	if c.Script.Again {
		doubt("verification")
	}
	if c.Script.Projection != "" || c.Script.Stages != "" {
		for _, a := range c.Script.Acts {
			switch a.Do {
			case "set", "unset", "set-unset", "update", "none", "fail", "delete", "panic", "also", "set-also", "also-fail":
			default:
				for _, d := range f.docs { // what the function sees isn't the document
					if d.act != nil && d.act.Do == a.Do {
						d.match, d.fails, d.alts = maybe, maybe, []bson.Raw{anything}
					}
				}
			}
		}
		if strings.Contains(c.Script.Projection, `"_id": 0`) {
			doubt("a projection without the _id")
		}
	}
	if k.MaxFailures != nil && *k.MaxFailures == -1 {
		doubt("ends at the first failure")
	}
	for _, w := range k.Only {
		if strings.HasPrefix(w, "{") {
			doubt("odd words")
		}
	}
	if f.matched < 0 && f.unsure == "" && byChance(c.Script.Filter) {
		f.matched = -1
	}
}

// guarded tells whether the guard of the fields has a reason.
func guarded(f *forecast, fields []string) bool {
	for _, d := range f.docs {
		if d.match == no {
			continue
		}
		if d.after == nil || len(d.alts) > 0 || d.fails == maybe {
			return true
		}
		for _, name := range changedFields(d.before, d.after) {
			if !slices.Contains(fields, name) {
				return true
			}
		}
	}
	return false
}

// anything stands for a document that isn't known.
var anything = bson.Raw("anything") //nolint:gochecknoglobals // a mark

func keyValue(d bson.Raw) []byte {
	v := d.Lookup("k")
	return append([]byte{byte(v.Type)}, v.Value...)
}

// foreseeRows does what the rows say, in their order.
func (c *Case) foreseeRows(f *forecast, before map[string]bson.Raw) error {
	f.rows = true
	f.matched = len(c.Script.Rows)
	for key, d := range before {
		f.docs[key] = &fate{before: d, after: d}
	}
	state, err := outcomeOf(c.Script.Rows, before)
	if err != nil {
		return err
	}
	last := 0
	for _, r := range c.Script.Rows {
		key, err := r.document()
		if err != nil {
			return err
		}
		if f.docs[key] == nil {
			f.docs[key] = &fate{}
		}
		f.docs[key].match = yes
		if c.Script.Source == "items" && r.Key <= last {
			f.unsure = "keys that stand still"
		}
		last = r.Key
	}
	for key, d := range f.docs {
		d.after = nil
		if doc, ok := state[key]; ok && d.match == yes {
			data, err := bson.Marshal(doc)
			if err != nil {
				return err
			}
			d.after = data
		} else if ok {
			d.after = d.before
		}
	}
	if len(c.Coll.Indexes) > 0 || c.Coll.Validator != "" || c.Coll.Collation != "" || c.Knobs.MaxFailures != nil && *c.Knobs.MaxFailures < 0 || len(c.Knobs.Fields) > 0 {
		f.unsure = "rows and the collection's rules"
		for _, d := range f.docs {
			d.fails, d.alts = maybe, []bson.Raw{anything}
		}
	}
	return nil
}

// document is the key of the one that a row is about.
func (r Row) document() (string, error) {
	kind, data, err := bson.MarshalValue(fmt.Sprint(r.ID))
	return idKey(bson.RawValue{Type: kind, Value: data}), err
}

// outcomeOf is what rows make of documents.
func outcomeOf(rows []Row, before map[string]bson.Raw) (map[string]bson.D, error) {
	state := map[string]bson.D{}
	for key, d := range before {
		var doc bson.D
		if err := bson.Unmarshal(d, &doc); err != nil {
			return nil, err
		}
		state[key] = doc
	}
	for _, r := range rows {
		key, err := r.document()
		if err != nil {
			return nil, err
		}
		doc, there := state[key]
		switch r.Op {
		case "put":
			state[key] = bson.D{{Key: "_id", Value: fmt.Sprint(r.ID)}, {Key: "v", Value: fmt.Sprint(r.V)}}
		case "del":
			delete(state, key)
		case "inc":
			if there {
				state[key] = with(doc, "m", func(v any) any { n, _ := v.(int32); return n + 1 })
			}
		case "set":
			if there {
				state[key] = with(doc, "w", func(any) any { return fmt.Sprint(r.V) })
			}
		}
	}
	return state, nil
}

func with(doc bson.D, name string, change func(any) any) bson.D {
	out := append(bson.D(nil), doc...)
	for i, e := range out {
		if e.Key == name {
			out[i].Value = change(e.Value)
			return out
		}
	}
	return append(out, bson.E{Key: name, Value: change(nil)})
}

// alike compares an image that was foreseen with one that is there. What chance, the time and the server put there is only of the same type.
func alike(want, got bson.Raw) bool {
	if bytes.Equal(want, got) {
		return true
	}
	if string(want) == string(anything) {
		return true
	}
	if want == nil || got == nil {
		return false
	}
	a, err := want.Elements()
	b, err2 := got.Elements()
	if err != nil || err2 != nil || len(a) != len(b) {
		return false
	}
	for i := range a {
		if bytes.Equal(a[i], b[i]) {
			continue
		}
		if a[i].Key() != b[i].Key() || a[i].Value().Type != b[i].Value().Type {
			return false
		}
		switch name := a[i].Key(); {
		case name == "r" || name == "at":
		case a[i].Value().Type == bson.TypeTimestamp:
			x, _ := a[i].Value().Timestamp()
			y, _ := b[i].Value().Timestamp()
			if x < 1_700_000_000 || y < 1_700_000_000 {
				return false
			}
		default:
			return false
		}
	}
	return true
}
