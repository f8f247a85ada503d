package ratelimits

import (
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/jsonconfig"
)

// Slug names the config document of all rate limits.
const Slug = "rate-limits"

// section is the part of the config that limits error reports. Other parts are
// other people's.
const section = "errorReporting"

// Limit is how many requests may come in each window.
type Limit struct {
	Requests      int `json:"requests"`
	WindowSeconds int `json:"windowSeconds"`
}

// Window is the length of the window.
func (l Limit) Window() time.Duration { return time.Duration(l.WindowSeconds) * time.Second }

// ErrorReporting are the limits of error reports.
type ErrorReporting struct {
	PerIP   Limit `json:"perIP"`
	PerUser Limit `json:"perUser"`
	Global  Limit `json:"global"`
}

// Defaults are the limits to begin with.
func Defaults() ErrorReporting {
	return ErrorReporting{
		PerIP:   Limit{Requests: 30, WindowSeconds: 60},
		PerUser: Limit{Requests: 60, WindowSeconds: 60},
		Global:  Limit{Requests: 1000, WindowSeconds: 60},
	}
}

// Named is a limit with its name in the config.
type Named struct {
	Name string
	Limit
}

// All lists the limits with their names.
func (e ErrorReporting) All() []Named {
	return []Named{{"perIP", e.PerIP}, {"perUser", e.PerUser}, {"global", e.Global}}
}

// Of returns the limits of error reports that a config has. The second result
// tells whether it has any.
func Of(cfg jsonconfig.Config) (ErrorReporting, bool, error) {
	var value struct {
		Section *ErrorReporting `json:"errorReporting"`
	}
	if err := cfg.Decode(&value); err != nil || value.Section == nil {
		return ErrorReporting{}, false, err
	}
	return *value.Section, true, nil
}

// With returns the config with these limits of error reports. Everything else
// in it stays as it is.
func With(cfg jsonconfig.Config, limits ErrorReporting) (jsonconfig.Config, error) {
	var value bson.D
	if err := cfg.Decode(&value); err != nil {
		return cfg, fmt.Errorf("config %s is no document: %w", Slug, err)
	}
	i := slices.IndexFunc(value, func(e bson.E) bool { return e.Key == section })
	if i < 0 {
		i = len(value)
		value = append(value, bson.E{Key: section})
	}
	value[i].Value = limits
	cfg.Value = value
	return cfg, nil
}

// New is the config where there is none yet.
func New() jsonconfig.Config {
	return jsonconfig.Config{
		Slug:        Slug,
		Aliases:     []string{"rateLimits"},
		Name:        "Rate limits",
		Description: "How many requests the API takes, by kind.",
		Value:       bson.D{},
	}
}
