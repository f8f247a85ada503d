// Package yamlfile reads YAML that people write by hand, such as the plan of a batch, and tells what is wrong with it by line
// and caret.
//
// What a file may contain is said by a struct of package params, so that a key of a file obeys the same rules as a flag: any
// spelling, all problems at once, did-you-mean. [File.Locate] turns the problems, also those that a caller finds later, into
// places of the file.
package yamlfile
