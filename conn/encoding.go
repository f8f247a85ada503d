package conn

import (
	"bytes"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// An Encoding turns Go values into BSON and back as a client does: with the
// registry and the options that [Config.ClientOptions] gave it, which package
// bson by itself knows nothing of. The zero value is as package bson.
type Encoding struct {
	registry *bson.Registry
	options  *options.BSONOptions
}

// Encoding is that of the client.
func (r *Ref) Encoding() Encoding { return r.link.encoding }

// Marshal encodes a document.
func (e Encoding) Marshal(v any) (bson.Raw, error) {
	if e.registry == nil && e.options == nil {
		return bson.Marshal(v)
	}
	var data bytes.Buffer
	enc := bson.NewEncoder(bson.NewDocumentWriter(&data))
	if e.registry != nil {
		enc.SetRegistry(e.registry)
	}
	switches(e.options, func(o options.BSONOptions) []toggle {
		return []toggle{
			{o.ErrorOnInlineDuplicates, enc.ErrorOnInlineDuplicates},
			{o.IntMinSize, enc.IntMinSize},
			{o.NilByteSliceAsEmpty, enc.NilByteSliceAsEmpty},
			{o.NilMapAsEmpty, enc.NilMapAsEmpty},
			{o.NilSliceAsEmpty, enc.NilSliceAsEmpty},
			{o.OmitZeroStruct, enc.OmitZeroStruct},
			{o.OmitEmpty, enc.OmitEmpty},
			{o.StringifyMapKeysWithFmt, enc.StringifyMapKeysWithFmt},
			{o.UseJSONStructTags, enc.UseJSONStructTags},
		}
	})
	err := enc.Encode(v)
	return data.Bytes(), err
}

// Value encodes a value that is no document.
func (e Encoding) Value(v any) (bson.RawValue, error) {
	if e.registry == nil && e.options == nil {
		kind, data, err := bson.MarshalValue(v)
		return bson.RawValue{Type: kind, Value: data}, err
	}
	doc, err := e.Marshal(bson.D{{Key: "v", Value: v}})
	if err != nil {
		return bson.RawValue{}, err
	}
	return doc.LookupErr("v")
}

// Unmarshal decodes a document into what v points to.
func (e Encoding) Unmarshal(data bson.Raw, v any) error {
	if e.registry == nil && e.options == nil {
		return bson.Unmarshal(data, v)
	}
	dec := bson.NewDecoder(bson.NewDocumentReader(bytes.NewReader(data)))
	if e.registry != nil {
		dec.SetRegistry(e.registry)
	}
	switches(e.options, func(o options.BSONOptions) []toggle {
		return []toggle{
			{o.AllowTruncatingDoubles, dec.AllowTruncatingDoubles},
			{o.BinaryAsSlice, dec.BinaryAsSlice},
			{o.DefaultDocumentM, dec.DefaultDocumentM},
			{o.DefaultDocumentMap, dec.DefaultDocumentMap},
			{o.ObjectIDAsHexString, dec.ObjectIDAsHexString},
			{o.UseJSONStructTags, dec.UseJSONStructTags},
			{o.UseLocalTimeZone, dec.UseLocalTimeZone},
			{o.ZeroMaps, dec.ZeroMaps},
			{o.ZeroStructs, dec.ZeroStructs},
		}
	})
	return dec.Decode(v)
}

// toggle is a setting that is on or not.
type toggle struct {
	on  bool
	set func()
}

func switches(o *options.BSONOptions, list func(options.BSONOptions) []toggle) {
	if o == nil {
		return
	}
	for _, t := range list(*o) {
		if t.on {
			t.set()
		}
	}
}
