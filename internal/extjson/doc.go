// Package extjson reads Extended JSON and loses nothing of it: the order of names, the types of numbers and every digit are kept.
//
// What package bson would change without a word is refused: whole numbers beyond 64 bits, names that an object has twice, halves of
// characters, and whatever follows behind the value.
package extjson
