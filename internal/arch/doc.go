// Package arch holds no code, only tests: the rules of docs/architecture.md that a compiler does not check. Arrows
// between packages go down only, the root package links few modules, test support stays out of production binaries,
// the exported surface is a reviewed file, and the docs show code that compiles.
//
// Rewrite api.txt and the snippets in the docs with `make docs`.
package arch
