package main

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/backfill"
)

// RenameField gives a field another name. Documents that have the new one already are left alone. The names become part of a
// pipeline, so they may be nothing but names: with a dollar or a dot they would mean something else there.
type RenameField struct {
	Collection string `default:"users"`
	From       string `default:"mail" pattern:"^[A-Za-z_][A-Za-z0-9_]*$"`
	To         string `default:"email" pattern:"^[A-Za-z_][A-Za-z0-9_]*$"`
}

// Backfill says what to walk.
func (r *RenameField) Backfill() backfill.Options {
	return backfill.Options{
		Script:     about("Gives a field another name."),
		Collection: r.Collection, Fields: []string{r.From, r.To},
		Filter: bson.D{{Key: r.From, Value: bson.D{{Key: "$exists", Value: true}}}, {Key: r.To, Value: bson.D{{Key: "$exists", Value: false}}}},
	}
}

// Pipeline is the change.
func (r *RenameField) Pipeline() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: r.To, Value: "$" + r.From}}}}, {{Key: "$unset", Value: r.From}}}
}

// AddDefault fills a field where it is missing or null.
type AddDefault struct {
	Plan string `default:"free" help:"What the field becomes."`
}

// Backfill says what to walk.
func (*AddDefault) Backfill() backfill.Options {
	return backfill.Options{Script: about("Fills a field where it is missing or null."), Collection: "accounts", Filter: bson.D{{Key: "plan", Value: nil}}, Fields: []string{"plan"}, VerifyAgain: true}
}

// Pipeline is the change. $literal keeps a value that begins with a dollar from being taken for the path of a field.
func (a *AddDefault) Pipeline() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "plan", Value: bson.D{{Key: "$literal", Value: a.Plan}}}}}}}
}

// TextToDate turns dates that were stored as text into dates. What is no date fails, one by one, and is listed by runs failures.
type TextToDate struct{}

// Backfill says what to walk.
func (*TextToDate) Backfill() backfill.Options {
	return backfill.Options{Script: about("Turns dates that were stored as text into dates."), Collection: "events", Filter: bson.D{{Key: "at", Value: bson.D{{Key: "$type", Value: "string"}}}}, Fields: []string{"at"}}
}

// Pipeline is the change.
func (*TextToDate) Pipeline() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "at", Value: bson.D{{Key: "$toDate", Value: "$at"}}}}}}}
}
