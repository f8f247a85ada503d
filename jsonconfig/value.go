package jsonconfig

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// valueKey is the field of the documents that values are wrapped in, because
// encoder and decoder know documents only.
const valueKey = "v"

// encode turns a value of the author's into BSON, by bson tags, else json tags.
func encode(v any) (bson.RawValue, error) {
	switch v := v.(type) {
	case nil:
		return bson.RawValue{}, errors.New("the value is missing: set Value; bson.Null{} is a null")
	case bson.RawValue:
		if err := v.Validate(); err != nil {
			return bson.RawValue{}, fmt.Errorf("the value is no valid BSON: %w", err)
		}
		return v, nil
	}
	var buf bytes.Buffer
	enc := bson.NewEncoder(bson.NewDocumentWriter(&buf))
	enc.UseJSONStructTags()
	if err := enc.Encode(bson.D{{Key: valueKey, Value: v}}); err != nil {
		return bson.RawValue{}, fmt.Errorf("the value can't be encoded as BSON: %w", err)
	}
	return bson.Raw(buf.Bytes()).LookupErr(valueKey)
}

// decode stores raw in what v points to, by bson tags, else json tags.
func decode(raw bson.RawValue, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("decode a config's value into %T: pass a pointer that isn't nil", v)
	}
	doc, err := bson.Marshal(bson.D{{Key: valueKey, Value: raw}})
	if err != nil {
		return fmt.Errorf("decode a config's value: %w", err)
	}
	// A struct of the target's type, so that values that are no documents
	// follow the tags too.
	wrapper := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Value", Type: target.Type(), Tag: `bson:"` + valueKey + `"`,
	}}))
	wrapper.Elem().Field(0).Set(target)

	dec := bson.NewDecoder(bson.NewDocumentReader(bytes.NewReader(doc)))
	dec.UseJSONStructTags()
	if err := dec.Decode(wrapper.Interface()); err != nil {
		return fmt.Errorf("decode a config's value into %s: %w", target.Type().Elem(), err)
	}
	return nil
}
