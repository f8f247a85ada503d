// Package embedded runs a real mongod for a program that has none to connect to.
package embedded
