package rikki

import (
	"encoding/json"
	"slices"
	"strings"
)

// Preview is what a dry run found: what the script would do.
type Preview struct {
	// Collections are those the script wrote to, "database.collection".
	Collections []PreviewCollection `json:"collections"`

	// Changes is a sample of what would change, field by field.
	Changes []PreviewChange `json:"changes"`

	// More tells that the sample leaves changes out.
	More bool `json:"more,omitempty"`

	// NotPreviewable says what the dry run could not do, one sentence each. If
	// there is anything, the dry run ended there.
	NotPreviewable []string `json:"not_previewable,omitempty"`
}

// PreviewCollection counts the writes to one collection.
type PreviewCollection struct {
	Name     string `json:"name"`
	Inserted int64  `json:"inserted"`
	Updated  int64  `json:"updated"`
	Deleted  int64  `json:"deleted"`
}

// PreviewChange is one document that would change.
type PreviewChange struct {
	Collection string          `json:"collection"`
	ID         json.RawMessage `json:"id"`   // as relaxed extended JSON
	Kind       string          `json:"kind"` // insert, update or delete
	Fields     []FieldChange   `json:"fields"`
}

// FieldChange is one field that would change. Before is empty if it would be
// added, After if it would be removed.
type FieldChange struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// sortedCollections returns the preview's collections in order of their names.
func sortedCollections(counts map[string]*PreviewCollection) []PreviewCollection {
	list := make([]PreviewCollection, 0, len(counts))
	for _, c := range counts {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b PreviewCollection) int { return strings.Compare(a.Name, b.Name) })
	return list
}
