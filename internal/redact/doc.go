// Package redact is the one choke point through which text passes before a
// person, a log or a stored run sees it. It hides the credentials of MongoDB
// URIs and the secret values it has been told about.
//
// [URI] makes one URI safe. [Text] makes every URI inside free text safe. A
// [Redactor] also knows concrete secrets, and covers errors and slog records.
//
// # The rule
//
// A URI is never parsed the way a client would parse it: what a person pasted
// is often malformed, and a parser that gives up prints its input. Instead,
// everything that is not positively known to be harmless is hidden:
//
//   - Whatever stands before the last @ is user information, however many @, :
//     and / it holds.
//   - An @ behind a ? can belong to the password or to an option, and each
//     reading leaks under the other, so nothing but the scheme is shown.
//   - A host must look like a host, a port like a port, a database like a
//     database. Otherwise it may be a password that lost its @.
//   - An option's value is shown only when the option is on a list of harmless
//     ones and its value is plain.
//
// What cannot be told apart stays visible: mongodb://user:12345 without an @
// reads as a host and its port.
package redact
