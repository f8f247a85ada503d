package backfill

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/params"
)

// The kinds of files, as --format names them.
const (
	formatCSV    = "csv"
	formatTSV    = "tsv"
	formatNDJSON = "ndjson"
)

// column is where the value of a field comes from.
type column struct {
	name  string // in the file
	field string // its path in the documents
	kind  cellKind
}

// rowsOf is what the parameters say about a file of rows.
type rowsOf struct {
	path, format string
	separator    byte
	collection   string
	by           string     // the field that finds a row's document
	mode         changeKind // changeFields, changeUpsert for those that are inserted where there are none, changeDelete
	named        []column   // that are taken; none are all
	kinds        map[string]cellKind
	empty        emptyCell

	columns []column // of the file, once its header was read
	// collated says that the collection takes texts for equal that differ.
	collated bool
}

// given tells whether a parameter was given.
type given struct {
	name string
	is   bool
}

// checkNoRows refuses what only rows have.
func (a *AdHoc) checkNoRows() error {
	var err error
	for _, p := range []given{
		{"upsert-by", a.UpsertBy != ""},
		{"update-by", a.UpdateBy != ""},
		{"delete-by", a.DeleteBy != ""},
		{"format", a.Format != ""},
		{"separator", a.Separator != ""},
		{"columns", len(a.Columns) > 0},
		{"types", len(a.Types) > 0},
		{"empty", a.Empty != ""},
	} {
		if p.is {
			err = params.Join(err, wrongParam(p.name, errors.New("says what becomes of rows: name their file with --file")))
		}
	}
	return err
}

// checkRows refuses what contradicts a file of rows, and what can't be read.
func (a *AdHoc) checkRows() error {
	var err error
	for _, p := range []given{
		{"filter", a.Filter != "" && a.Filter != "{}"}, {"update", a.Update != ""}, {"delete", a.Delete}, {"key", a.Key != "_id"},
	} {
		if p.is {
			err = params.Join(err, wrongParam(p.name, errors.New("contradicts --file: the rows say which documents become what, with --upsert-by, --update-by or --delete-by")))
		}
	}
	if a.DeleteBy != "" && len(a.Fields) > 0 {
		err = params.Join(err, wrongParam("fields", errors.New("contradicts --delete-by: a deletion takes whole documents, so no field is safe from it; leave --fields out")))
	}
	_, wrong := a.rows()
	return params.Join(err, wrong)
}

// rows is what the parameters say, or a [*params.Error].
func (a *AdHoc) rows() (*rowsOf, error) {
	r := &rowsOf{path: a.File, collection: a.Collection, separator: ',', kinds: map[string]cellKind{}, empty: cmp.Or(emptyCell(a.Empty), emptyText)}
	return r, params.Join(r.readMode(a), r.readFormat(a), r.readColumns(a.Columns), r.readTypes(a.Types))
}

func (r *rowsOf) readMode(a *AdHoc) error {
	name, count := "", 0
	for _, way := range []struct {
		name, by string
		mode     changeKind
	}{{"upsert-by", a.UpsertBy, changeUpsert}, {"update-by", a.UpdateBy, changeFields}, {"delete-by", a.DeleteBy, changeDelete}} {
		if way.by != "" {
			name, r.by, r.mode = way.name, way.by, way.mode
			count++
		}
	}
	if count != 1 {
		return wrongParam("file", errors.New("needs one of --upsert-by, --update-by and --delete-by: the field that finds the document of a row"))
	}
	return wrongParam(name, checkField(r.by))
}

func (r *rowsOf) readFormat(a *AdHoc) error {
	r.format = a.Format
	if r.format == "" {
		r.format = map[string]string{
			".csv": formatCSV, ".tsv": formatTSV, ".tab": formatTSV, ".ndjson": formatNDJSON, ".jsonl": formatNDJSON, ".json": formatNDJSON,
		}[strings.ToLower(filepath.Ext(r.path))]
	}
	if r.format == "" {
		return wrongParam("format", fmt.Errorf("is missing: the name %s doesn't tell whether it is csv, tsv or ndjson", r.path))
	}
	if r.format == formatTSV {
		r.separator = '\t'
	}
	switch {
	case a.Separator == "":
		return nil
	case r.format != formatCSV:
		return wrongParam("separator", fmt.Errorf("has no meaning for %s", r.format))
	case a.Separator == "tab" || a.Separator == `\t`:
		r.separator = '\t'
	case len(a.Separator) == 1 && a.Separator[0] < 0x80 && !strings.Contains("\"\r\n", a.Separator):
		r.separator = a.Separator[0]
	default:
		return wrongParam("separator", fmt.Errorf("%q is not one ASCII character such as ; or the word tab", a.Separator))
	}
	return nil
}

func (r *rowsOf) readColumns(list []string) error {
	for _, text := range list {
		name, field, renamed := strings.Cut(text, "=")
		if !renamed {
			field = name
		}
		if name == "" || field == "" {
			return wrongParam("columns", fmt.Errorf("%q is neither COLUMN nor COLUMN=FIELD", text))
		}
		r.named = append(r.named, column{name: name, field: field})
	}
	return wrongParam("columns", checkFields(r.named))
}

func (r *rowsOf) readTypes(list []string) error {
	if len(list) > 0 && r.format == formatNDJSON {
		return wrongParam("types", errors.New("is for CSV: extended JSON says itself what its values are"))
	}
	for _, text := range list {
		name, kind, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return wrongParam("types", fmt.Errorf("%q is not COLUMN=TYPE, such as age=int", text))
		}
		if _, twice := r.kinds[name]; twice {
			return wrongParam("types", fmt.Errorf("the column %s has two types", name))
		}
		i := slices.IndexFunc(cellKinds(), func(k cellKind) bool { return strings.EqualFold(string(k), kind) })
		if i < 0 {
			return wrongParam("types", fmt.Errorf("%s: %w", name, unknownName(kind, "type", cellKindNames())))
		}
		r.kinds[name] = cellKinds()[i]
	}
	return nil
}

// checkFields refuses fields that can't be set, or not together.
func checkFields(columns []column) error {
	for i, c := range columns {
		if err := checkField(c.field); err != nil {
			return err
		}
		for _, other := range columns[:i] {
			if c.field == other.field || strings.HasPrefix(c.field, other.field+".") || strings.HasPrefix(other.field, c.field+".") {
				return fmt.Errorf("the columns %s and %s would both set %s", other.name, c.name, min(c.field, other.field))
			}
		}
	}
	return nil
}

// checkField refuses the name of a field that means something else to MongoDB.
func checkField(path string) error {
	for name := range strings.SplitSeq(path, ".") {
		if name == "" || strings.HasPrefix(name, "$") || strings.ContainsRune(name, 0) {
			return fmt.Errorf("%q is no name of a field", path)
		}
	}
	if strings.HasPrefix(path, "_id.") {
		return fmt.Errorf("%s is a part of the _id, which is one value; take a column of the type json", path)
	}
	return nil
}

func (r *rowsOf) source() Source {
	s := &fileSource{path: r.path, format: formatCSV, decode: newCSV(r.separator), fits: r.fits, rows: r}
	if r.format == formatNDJSON {
		s.format, s.decode = formatNDJSON, newNDJSON
	}
	return s
}

// fits finds the columns that are taken in the header, or refuses it. Of NDJSON it looks at the first document alone: the others may
// have other fields.
func (r *rowsOf) fits(header []string, first bson.Raw) error {
	if r.format == formatNDJSON {
		if first == nil {
			return nil
		}
		for _, c := range r.columnsOf(first) {
			if c.field == r.by {
				return nil
			}
		}
		return fmt.Errorf("the first document has no field %s, which is to find the documents", r.by)
	}
	columns := r.named
	if len(columns) == 0 {
		for _, name := range header {
			columns = append(columns, column{name: name, field: name})
		}
	}
	for name := range r.kinds {
		if !slices.Contains(header, name) {
			return fmt.Errorf("--types: %w", noColumn(header, name))
		}
	}
	for _, c := range r.named {
		if !slices.Contains(header, c.name) {
			return fmt.Errorf("--columns: %w", noColumn(header, c.name))
		}
	}
	if !slices.ContainsFunc(columns, func(c column) bool { return c.field == r.by }) {
		return fmt.Errorf("%w. The field %[2]s is to find the documents; --columns=COLUMN=%[2]s says which column it is", noColumn(header, r.by), r.by)
	}
	if err := checkFields(columns); err != nil {
		return fmt.Errorf("the header: %w; --columns says which to take", err)
	}
	r.columns = make([]column, len(columns))
	for i, c := range columns {
		c.kind = r.kinds[c.name]
		r.columns[i] = c
	}
	return nil
}

// columnsOf are the fields of a document of NDJSON, by the names that they shall have.
func (r *rowsOf) columnsOf(doc bson.Raw) []column {
	if len(r.named) > 0 {
		var there []column
		for _, c := range r.named {
			if _, err := doc.LookupErr(c.name); err == nil {
				there = append(there, c)
			}
		}
		return there
	}
	elements, _ := doc.Elements() // it was decoded
	columns := make([]column, len(elements))
	for i, e := range elements {
		columns[i] = column{name: e.Key(), field: e.Key()}
	}
	return columns
}
