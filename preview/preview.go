package preview

import "encoding/json"

// Report is what a dry run found: what the script would do.
type Report struct {
	// Collections are those that the script wrote to, in order of their names.
	Collections []Collection `json:"collections"`

	// Changes is a sample of what would change, field by field.
	Changes []Change `json:"changes"`

	// More tells that the sample leaves changes out.
	More bool `json:"more,omitempty"`

	// NotPreviewable says what the dry run could not do, one sentence each. If
	// there is anything, the dry run ended there.
	NotPreviewable []string `json:"not_previewable,omitempty"`
}

// Collection counts the writes to one collection.
type Collection struct {
	Name     string `json:"name"` // "database.collection"
	Inserted int64  `json:"inserted"`
	Updated  int64  `json:"updated"`
	Deleted  int64  `json:"deleted"`
}

// Total is how many documents the script wrote, in all collections.
func (r *Report) Total() int64 {
	var n int64
	for _, c := range r.Collections {
		n += c.Inserted + c.Updated + c.Deleted
	}
	return n
}

// Change is one document that would change.
type Change struct {
	Collection string          `json:"collection"` // "database.collection"
	ID         json.RawMessage `json:"id"`         // as relaxed extended JSON
	Kind       string          `json:"kind"`       // insert, update or delete
	Fields     []Field         `json:"fields"`
}

// Field is one field that would change. Before is empty if it would be added,
// After if it would be removed; both are relaxed extended JSON.
type Field struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}
