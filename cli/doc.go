// Package cli turns scripts into a command line.
//
//	func main() { cli.Main(&LowercaseEmails{}, &RenameField{}) }
//
// makes a program with the commands run, list, runs, status, doctor, dev, new, config, completion and version.
// [MainScript] makes one of a single script, whose whole command line is the script's flags. [App] has the settings
// that a list of scripts has no room for. [Run] is the same without the process around it: it neither exits nor
// touches the standard streams, and so serves tests and programs with commands of their own.
//
// # Streams
//
// Standard output carries results only. Progress, logs, notes, questions and errors go to standard error. With --json
// the result, or the error, is one JSON object on standard output.
//
// # Flags
//
// Every flag, of a command as of a script, is read by package params: --batch-size=500, --batch-size 500 and
// --batchSize=500 are the same, and everything that is wrong is reported at once, before anything is connected. Flags
// may stand anywhere on the line. What a flag doesn't say is looked for in the environment, then in the file named by
// --config, then in the default.
//
// # Where MongoDB is
//
// The URI is never taken from the command line, where every user of the machine could read its password. It comes
// from --uri-file, else from App.Config, else from MONGODB_URI or MONGO_URI in the environment, else from those in
// the .env file, else it is conn.DefaultURI. An App that sets Embedded, or a user who says --embedded, gets a mongod
// of the project's own in place of that default. It is never started when a URI was given.
//
// # Stopping
//
// The first SIGINT or SIGTERM asks the run to stop and lets it tidy up. The second ends the process at once; the
// run's lease expires by itself, and the next command shows the run as interrupted.
//
// # Exit codes
//
// They are listed by the program's help and by [ExitCodes].
package cli
