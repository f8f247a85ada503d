// Package params turns one Go struct into every way of setting it: command-line flags, environment variables, JSON,
// a web form, a JSON Schema and the text of a help page.
//
// [Of] reads the struct once. The parsers ([ParseArgs], [Spec.FromEnv], [Spec.FromJSON], [Spec.FromMap],
// [Spec.FromForm]) collect raw values into a [Layer] each, and [Spec.Fill] decodes the layers into a struct, highest
// precedence first:
//
//	spec, err := params.Of(&Script{})
//	parsed, argErr := params.ParseArgs(args, spec)
//	env := spec.FromEnv(os.LookupEnv, "APP_")
//	fillErr := spec.Fill(&script, parsed.Flags[0], env, parsed.File[0])
//	err = params.Join(argErr, fillErr) // every problem, at once
//
// The encoders ([Spec.Args], [Spec.JSON], [Spec.Form]) go the other way, so that a value can be shown as the command
// that makes it, and [Spec.Masked] gives the plain values that a run history may keep.
//
// # Names
//
// A parameter is called by its field in kebab-case: BatchSize is --batch-size. The fields of a nested struct are joined
// by dots: --source.coll. Every parser also takes camelCase (--batchSize) and the name of the Go field.
//
// # Types
//
//	string, bool, int*, uint*, float*   named types of these too
//	time.Duration                       90s, 1h30m, 2d, 1w; a bare whole number is milliseconds
//	time.Time                           RFC 3339, 2026-01-02, now, -7d; always kept in UTC
//	bson.ObjectID, bson.Decimal128      hexadecimal digits; decimal text
//	bson.Binary                         a UUID
//	[]T, map[string]T                   T is any type of this list, but no pointer
//	struct                              flattened with dots; an embedded struct without a prefix
//	*T                                  nil means absent
//	encoding.TextUnmarshaler            with MarshalText or String, to be written back
//	Secret                              never shown, never accepted on the command line
//
// A type with a method Values() []string accepts only those values.
//
// # Tags
//
//	params:"name"      another name for the field; params:"-" leaves the field out; params:",inline" puts the fields of a
//	                   struct in its place, as those of an embedded one
//	help:"…"           one sentence for the help page
//	default:"…"        the value when the field is zero and no layer has it
//	required:"true"    some layer must have it
//	secret:"true"      treat the field like a [Secret]
//	env:"NAME"         environment variables, separated by commas, that come before the automatic name
//	short:"n"          a one-letter flag
//	enum:"a,b"         the only values allowed
//	min, max           bounds of a number, a duration or a time; of the length of a string
//	minLength, maxLength, pattern, format    of strings
//	minItems, maxItems                       of lists and maps
//	unique:"true"      a list's items differ from each other
//	choices:"Method"   recorded in [Field], for who can call the method
//	placeholder:"…"    what help shows as the value
//
// On a list or a map, tags that speak of a value (enum, min, max, minLength, maxLength, pattern, format) hold for each
// item. Formats that are checked: objectid, email, uri, uuid, json, mongo-filter; multiline is for forms only. mongo-update and
// mongo-value are what may be an object in a YAML file, where a flag has Extended JSON.
//
// What no tag can say, a method CheckParams says: see [Checker].
//
// # Precedence, zero and absent
//
// The first layer that has a parameter wins. A zero that a layer gives is a value: no default replaces it. Without
// any layer the struct's own value stays, so the values of a registered prototype win over default tags.
// For lists and maps, nil and empty are the same value.
//
// # Limits
//
// One value has at most [MaxValue] bytes, one input at most [MaxTotal], JSON nests at most [MaxDepth] deep. Invalid
// UTF-8 and NUL are refused: a command line could not carry them.
package params
