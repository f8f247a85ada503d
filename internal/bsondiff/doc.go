// Package bsondiff compares BSON documents field by field.
//
// A path names fields by dots and places in an array by brackets, such as
// value.rules[2].path; a name that isn't plain is quoted: value["a.b"].
package bsondiff
