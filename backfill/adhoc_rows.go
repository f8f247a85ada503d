package backfill

import (
	"cmp"
	"context"
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
	mode         changeKind // changeFields, changeReplace for those that are inserted where there are none, changeDelete
	named        []column   // that are taken; none are all
	kinds        map[string]cellKind
	empty        emptyCell

	columns []column // of the file, once its header was read
	// collated says that the collection takes texts for equal that differ.
	collated bool
}

// checkNoRows refuses what only rows have.
func (a *AdHoc) checkNoRows() error {
	var err error
	for name, given := range map[string]bool{
		"upsert-by": a.UpsertBy != "", "update-by": a.UpdateBy != "", "delete-by": a.DeleteBy != "", "format": a.Format != "",
		"separator": a.Separator != "", "columns": len(a.Columns) > 0, "types": len(a.Types) > 0, "empty": a.Empty != "",
	} {
		if given {
			err = params.Join(err, wrongParam(name, errors.New("says what becomes of rows: name their file with --file")))
		}
	}
	return err
}

// checkRows refuses what contradicts a file of rows, and what can't be read.
func (a *AdHoc) checkRows() error {
	var err error
	for name, given := range map[string]bool{
		"filter": a.Filter != "" && a.Filter != "{}", "update": a.Update != "", "delete": a.Delete, "key": a.Key != "_id",
	} {
		if given {
			err = params.Join(err, wrongParam(name, errors.New("contradicts --file: the rows say which documents become what, with --upsert-by, --update-by or --delete-by")))
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
	given := 0
	for by, mode := range map[string]changeKind{a.UpsertBy: changeReplace, a.UpdateBy: changeFields, a.DeleteBy: changeDelete} {
		if by != "" {
			r.by, r.mode = by, mode
			given++
		}
	}
	if given = countGiven(a.UpsertBy, a.UpdateBy, a.DeleteBy); given != 1 {
		return wrongParam("file", errors.New("needs one of --upsert-by, --update-by and --delete-by: the field that finds the document of a row"))
	}
	if err := checkField(r.by); err != nil {
		return wrongParam(map[changeKind]string{changeReplace: "upsert-by", changeFields: "update-by", changeDelete: "delete-by"}[r.mode], err)
	}
	return nil
}

func countGiven(words ...string) (n int) {
	for _, word := range words {
		if word != "" {
			n++
		}
	}
	return n
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

// assigned is what a row says of a field.
type assigned struct {
	field string
	value bson.RawValue
	unset bool
}

// parse takes a row apart: the value that finds its document, and what becomes of the other fields.
func (r *rowsOf) parse(item bson.Raw) (by bson.RawValue, fields []assigned, err error) {
	columns := r.columns
	if r.format == formatNDJSON {
		columns = r.columnsOf(item)
		if err := checkFields(columns); err != nil {
			return by, nil, err
		}
	}
	for _, c := range columns {
		cell := item.Lookup(c.name)
		if r.format != formatNDJSON {
			if cell, err = c.kind.value(cell); err != nil && !errors.Is(err, errEmptyCell) {
				return by, nil, fmt.Errorf("column %s: %w", c.name, err)
			}
		}
		switch {
		case c.field == r.by:
			by = cell
		case err == nil && !(r.empty != emptyText && isEmptyText(cell)):
			fields = append(fields, assigned{field: c.field, value: cell})
		case r.empty == emptyNull:
			fields = append(fields, assigned{field: c.field, value: bson.RawValue{Type: bson.TypeNull}})
		case r.empty == emptyUnset:
			fields = append(fields, assigned{field: c.field, unset: true})
		case r.empty == emptyText:
			return by, nil, fmt.Errorf("column %s is empty, which is no %s: --empty=skip leaves the field as it is, null and unset make it that", c.name, c.kind)
		}
	}
	return by, fields, r.findable(by)
}

// findable refuses a value that finds no document, or others than those that have it.
func (r *rowsOf) findable(by bson.RawValue) error {
	switch by.Type { //nolint:exhaustive // others are fine
	case 0, bson.TypeNull, bson.TypeUndefined:
		return fmt.Errorf("there is no value for %s, which is to find the document", r.by)
	case bson.TypeRegex, bson.TypeArray, bson.TypeMinKey, bson.TypeMaxKey:
		return fmt.Errorf("%s is %s, which finds other documents than those that have it", r.by, by)
	}
	if isEmptyText(by) {
		return fmt.Errorf("there is no value for %s, which is to find the document", r.by)
	}
	return nil
}

func isEmptyText(v bson.RawValue) bool {
	text, ok := v.StringValueOK()
	return ok && text == ""
}

// changes looks the documents of a chunk of rows up, in its transaction, and says what becomes of them.
func (r *rowsOf) changes(ctx context.Context, items []bson.Raw) ([]Change, []error, error) {
	changes, errs := make([]Change, len(items)), make([]error, len(items))
	values, fields := make([]bson.RawValue, len(items)), make([][]assigned, len(items))
	var asked []bson.RawValue
	for i, item := range items {
		if values[i], fields[i], errs[i] = r.parse(item); errs[i] == nil {
			asked = append(asked, values[i])
		}
		errs[i] = failed(errs[i])
	}
	found, err := findBy(ctx, DB(ctx).Collection(r.collection), r.by, asked, r.collated)
	if err != nil {
		return nil, nil, err
	}
	for i := range items {
		if errs[i] != nil {
			continue
		}
		name := valueKey(values[i])
		changes[i], errs[i] = r.change(values[i], fields[i], found[name])
		switch {
		case errs[i] != nil:
			errs[i] = failed(errs[i])
		case r.mode == changeDelete:
			delete(found, name) // another row may name it
		case len(found[name]) == 0:
			id, _ := changes[i].target.(bson.RawValue) // that of the new document
			found[name] = []bson.RawValue{id}
		}
	}
	return changes, errs, nil
}

// change is what becomes of the one document that a row is about.
func (r *rowsOf) change(by bson.RawValue, fields []assigned, ids []bson.RawValue) (Change, error) {
	switch {
	case len(ids) > 1:
		return Change{}, fmt.Errorf("more than one document has %s = %s: which one is meant can't be told", r.by, relaxed(by))
	case len(ids) == 0 && r.mode == changeReplace:
		doc, id := r.newDocument(by, fields)
		return Upsert(doc).For(id), nil
	case len(ids) == 0:
		err := fmt.Errorf("no document has %s = %s", r.by, relaxed(by))
		if by.Type == bson.TypeString && r.format != formatNDJSON {
			err = fmt.Errorf("%w as a text; if it is a number or a date there, say so with --types", err)
		}
		return Change{}, err
	case r.mode == changeDelete:
		return Delete().For(ids[0]), nil
	}
	c := Change{}
	for _, f := range fields {
		switch {
		case f.field == "_id":
			if !f.value.Equal(ids[0]) {
				return Change{}, fmt.Errorf("the document with %s = %s has another _id, which can't be changed: leave the column out with --columns", r.by, relaxed(by))
			}
		case f.unset:
			c = c.Unset(f.field)
		default:
			c = c.Set(f.field, f.value)
		}
	}
	return c.For(ids[0]), nil
}

// newDocument is that of a row that has none, with its fields in the order of the columns.
func (r *rowsOf) newDocument(by bson.RawValue, fields []assigned) (doc bson.D, id bson.RawValue) {
	fields = append([]assigned{{field: r.by, value: by}}, fields...)
	for _, f := range fields {
		switch {
		case f.field == "_id":
			id = f.value
		case !f.unset:
			doc = assign(doc, strings.Split(f.field, "."), f.value)
		}
	}
	if id.IsZero() {
		fresh := bson.NewObjectID()
		id = bson.RawValue{Type: bson.TypeObjectID, Value: fresh[:]}
	}
	return doc, id
}

// assign sets a value at a path.
func assign(doc bson.D, path []string, value bson.RawValue) bson.D {
	if len(path) == 1 {
		return append(doc, bson.E{Key: path[0], Value: value})
	}
	for i, e := range doc {
		if inner, ok := e.Value.(bson.D); ok && e.Key == path[0] {
			doc[i].Value = assign(inner, path[1:], value)
			return doc
		}
	}
	return append(doc, bson.E{Key: path[0], Value: assign(nil, path[1:], value)})
}
