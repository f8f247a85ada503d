//go:build linux

package anybackfill

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Case is all that is needed to do it again.
type Case struct {
	Seed       uint64     `json:"seed"`
	Standalone bool       `json:"standalone,omitempty"`
	URI        string     `json:"uri,omitempty"`  // options of the URI
	Door       string     `json:"door,omitempty"` // "flags" or "spec": by the command line
	Coll       Collection `json:"collection"`
	Script     Script     `json:"script"`
	Knobs      Knobs      `json:"knobs"`
	Dry        bool       `json:"dry,omitempty"`    // a dry run first
	Events     []Event    `json:"events,omitempty"` // while it runs
	Steps      []Step     `json:"steps,omitempty"`  // afterwards
}

// Doc is a document as its bytes: names twice and broken text are kept.
type Doc []byte

// Collection is what is there before.
type Collection struct {
	Docs      []Doc   `json:"docs"`
	Other     []Doc   `json:"other,omitempty"` // of the collection "other"
	Collation string  `json:"collation,omitempty"`
	Validator string  `json:"validator,omitempty"`
	Level     string  `json:"level,omitempty"`
	Indexes   []Index `json:"indexes,omitempty"`
}

// Index is one of them.
type Index struct {
	Keys    string `json:"keys"`
	Options string `json:"options,omitempty"`
}

// Script is what is run.
type Script struct {
	Kind       string `json:"kind"` // see the kinds
	Filter     string `json:"filter,omitempty"`
	Update     string `json:"update,omitempty"`
	Acts       []Act  `json:"acts,omitempty"`
	Stages     string `json:"stages,omitempty"`
	Projection string `json:"projection,omitempty"`
	Source     string `json:"source,omitempty"`
	Rows       []Row  `json:"rows,omitempty"`
	Again      bool   `json:"again,omitempty"` // VerifyAgain
}

// The kinds of scripts.
const (
	kindAdHoc  = "adhoc"  // the script of the command line, with an update
	kindDelete = "delete" // the same with --delete
	kindPipe   = "pipe"   // NewPipeline
	kindFunc   = "func"   // New[bson.Raw]
	kindView   = "view"   // New of a struct with few fields
	kindBatch  = "batch"  // NewBatch
	kindRows   = "rows"   // a source of rows
	kindPanic  = "panic"  // New of a type whose UnmarshalBSON panics for some, with a Throttle that does
)

// Act is what a function returns for some of the documents.
type Act struct {
	Do    string `json:"do"`
	Path  string `json:"path,omitempty"`
	Value string `json:"value,omitempty"` // extended JSON
}

// Row is one of a file, or an item.
type Row struct {
	Op string `json:"op"`
	ID int    `json:"id"`
	V  int    `json:"v"`
	// Key is that of an item.
	Key int `json:"key,omitempty"`
}

// Knobs are the run's.
type Knobs struct {
	Chunk       int      `json:"chunk,omitempty"`
	Workers     int      `json:"workers,omitempty"`
	Journal     string   `json:"journal,omitempty"`
	Key         string   `json:"key,omitempty"`
	Fields      []string `json:"fields,omitempty"`
	Limit       int      `json:"limit,omitempty"`
	Only        []string `json:"only,omitempty"`
	MaxFailures *int     `json:"max_failures,omitempty"`
	Hold        bool     `json:"hold,omitempty"`
}

// Event happens when a command is sent for the Nth time, or when it was answered.
type Event struct {
	On    string `json:"on"`
	N     int    `json:"n"`
	After bool   `json:"after,omitempty"`
	Do    string `json:"do"`
	Arg   int    `json:"arg,omitempty"`
}

// Step is what somebody does after the run.
type Step struct {
	Do     string  `json:"do"`
	Arg    int     `json:"arg,omitempty"`
	Events []Event `json:"events,omitempty"`
}

func (d Doc) raw() bson.Raw { return bson.Raw(d) }

func (d Doc) id() bson.RawValue { return bson.Raw(d).Lookup("_id") }

// String is the case for people.
func (c *Case) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("seed %d%s", c.Seed, map[bool]string{true: ", standalone server"}[c.Standalone])
	if c.URI+c.Door != "" {
		line("uri %q, door %q", c.URI, c.Door)
	}
	if c.Coll.Collation != "" {
		line("collation  %s", c.Coll.Collation)
	}
	if c.Coll.Validator != "" {
		line("validator  %s (%s)", c.Coll.Validator, c.Coll.Level)
	}
	for _, x := range c.Coll.Indexes {
		line("index      %s %s", x.Keys, x.Options)
	}
	line("documents  %d", len(c.Coll.Docs))
	for i, d := range c.Coll.Docs {
		if i == 12 {
			line("           … and %d more", len(c.Coll.Docs)-i)
			break
		}
		text := show(d.raw())
		if len(text) > 600 {
			text = text[:600] + "…"
		}
		line("           %s", text)
	}
	if len(c.Coll.Other) > 0 {
		line("other      %d", len(c.Coll.Other))
	}
	s := c.Script
	s.Rows = nil
	line("script     %s", asJSON(s))
	for i, r := range c.Script.Rows {
		if i == 20 {
			line("           … and %d more", len(c.Script.Rows)-i)
			break
		}
		line("           row %s", asJSON(r))
	}
	line("knobs      %s", asJSON(c.Knobs))
	if c.Dry {
		line("a dry run first")
	}
	for _, e := range c.Events {
		line("event      %s", asJSON(e))
	}
	for _, s := range c.Steps {
		line("step       %s", asJSON(s))
	}
	return b.String()
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// show is a document as text with its names in order, those that stand there twice too.
func show(d bson.Raw) string {
	if d == nil {
		return "(none)"
	}
	if data, err := bson.MarshalExtJSON(d, false, false); err == nil {
		return string(data)
	}
	return fmt.Sprintf("%x", []byte(d))
}

// clone is a copy that can be changed.
func (c *Case) clone() *Case {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	var out Case
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return &out
}

// extJSON reads a value of extended JSON.
func extJSON(text string) bson.RawValue {
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(`{"v": `+text+`}`), false, &doc); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return doc.Lookup("v")
}

func filterOf(text string) bson.Raw {
	if text == "" {
		text = "{}"
	}
	return extJSON(text).Document()
}
