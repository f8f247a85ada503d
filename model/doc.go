// Package model declares typed collections once: the Go type of the documents, the indexes, and a validator that is
// derived from the type.
//
//	type User struct {
//		ID    bson.ObjectID `bson:"_id"`
//		Email string        `bson:"email" pattern:"^[^@]+@[^@]+$"`
//		Role  string        `bson:"role" enum:"admin,member"`
//		Age   *int          `bson:"age,omitempty" min:"0"`
//	}
//
//	var Users = model.Collection[User]{Name: "users", Indexes: []model.Index{{Keys: "email", Unique: true}}}
//
//	user, err := Users.In(run.DB()).FindOne(ctx, bson.D{{Key: "email", Value: "ann@example.com"}})
//
// [Collection.In] gives [Docs], thin typed helpers over the driver: filters, updates, options and errors are the
// driver's own, and [Docs.Coll] is its collection.
//
// # Indexes
//
// [Docs.DiffIndexes] shows what [Docs.EnsureIndexes] would change. Missing indexes are created. Indexes that differ or
// that nobody declared stay as they are, unless [IndexOptions] asks for more: dropping an index can take a cluster down.
//
// # Validators
//
// [Collection.Schema] derives a $jsonSchema from the struct, [Docs.DiffValidator] and [Docs.EnsureValidator] bring it to
// the server. The rules follow what the driver does with the struct's bson tags:
//
//	string, bool                        string, bool
//	integers, time.Duration             int or long
//	float32, float64                    double, int or long: other drivers write 5.0 as 5
//	time.Time, bson.DateTime            date
//	bson.ObjectID, bson.Decimal128      objectId, decimal
//	[]byte, bson.Binary                 binData
//	struct, map                         object, with the rules of its fields or values
//	slice, array                        array, with the rule of its items
//	*T                                  T or null
//	any, bson.RawValue, own marshalers  anything
//
// A field without omitempty is required, for the driver always writes it; required:"false" or required:"true" says
// otherwise. A nil slice or map without omitempty is written as null, so null is allowed there. Fields that the struct
// does not know are allowed: during a deploy the old and the new program write to the same collection.
//
// The tags are those of package params: enum, min, max (a string's length), minLength, maxLength, pattern, minItems, maxItems,
// unique, and help for the description. On a slice or a map, the rules that speak of a value hold for each item.
// Patterns must mean the same in Go and in the server's PCRE, so they are checked against Go's syntax.
package model
