// Package audit finds scripts that still connect to MongoDB by hand: Go programs that call mongo.Connect, JavaScript and
// TypeScript that calls mongoose.connect or makes a MongoClient, shell scripts that call mongosh. Of each it says where,
// what to change, and how many lines are about the connection rather than the work.
//
// It reads code, it doesn't search text: imports are followed through aliases, and what stands in comments, strings,
// regular expressions and here-documents doesn't count. It runs nothing and needs none of the scripts' dependencies. A
// connection made in a helper is found in the helper, not where that is called.
//
// Left out are tests, hidden directories, and those of dependencies and generated code: node_modules, vendor, testdata,
// dist.
//
// Package vet has the Go part as an analyzer for go vet, with types.
package audit
