package cli

import (
	"log/slog"
	"time"

	"github.com/rikki-go/rikki/params"
)

// globalPrefix begins the environment variables of the global flags: RIKKI_LOG_FORMAT.
const globalPrefix = "RIKKI_"

// globalFlags are those that every command knows.
type globalFlags struct {
	JSON    bool `params:"json" help:"Print the result, or the error, as JSON."`
	Plain   bool `help:"Print tables as tab-separated text, without header and colour."`
	Quiet   bool `short:"q" help:"No notes and no progress."`
	Verbose bool `short:"v" help:"More logs."`
	Debug   bool `help:"All logs, and the stack of an error."`

	URIFile        string        `placeholder:"FILE" help:"File that has the MongoDB URI and that only you can read."`
	Database       string        `placeholder:"NAME" help:"Database, in place of the one in the URI."`
	Embedded       bool          `help:"Use a mongod of this project's own; fetched once, data in .rikki."`
	EnvFile        string        `placeholder:"FILE" help:"File of environment variables (default .env, if there is one)."`
	ConnectTimeout time.Duration `min:"0s" help:"How long to look for MongoDB (default 5s)."`

	Color     string `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Colours."`
	NoColor   bool   `help:"No colours."`
	LogFormat string `enum:"auto,pretty,text,json" default:"auto" placeholder:"FORMAT" help:"Format of the logs."`
	NoInput   bool   `help:"Never ask."`
	Confirm   string `placeholder:"DATABASE" help:"Name of the protected database that may be changed."`
	Yes       bool   `help:"Take yes for the answer to every question."`
	Help      bool   `short:"h" help:"Show help."`
}

// globalSpec and runSpec describe flags that several steps of one command line need. Reading a struct's tags takes a
// moment, and a script's start is meant to take hardly more than that.
func (p *program) globalSpec() (*params.Spec, error) { return p.spec(&p.specs.global, &globalFlags{}) }

func (p *program) runSpec() (*params.Spec, error) { return p.spec(&p.specs.run, &runFlags{}) }

func (p *program) spec(cached **params.Spec, of any) (*params.Spec, error) {
	if *cached == nil {
		spec, err := params.Of(of)
		if err != nil {
			return nil, err
		}
		*cached = spec.Named("")
	}
	return *cached, nil
}

// logLevel is the least level of a run's log that is shown. The history keeps everything.
func (f *globalFlags) logLevel() slog.Level {
	switch {
	case f.Debug, f.Verbose:
		return slog.LevelDebug
	case f.Quiet:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// connLevel is the same for the connection's log, which an operator wants to hear of only when it matters.
func (f *globalFlags) connLevel() slog.Level {
	switch {
	case f.Debug:
		return slog.LevelDebug
	case f.Verbose:
		return slog.LevelInfo
	case f.Quiet:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// embeddedLevel is the same for the embedded server, which says at the information level what a user must know: that
// something is being downloaded.
func (f *globalFlags) embeddedLevel() slog.Level {
	if f.Quiet {
		return slog.LevelError
	}
	return min(f.connLevel(), slog.LevelInfo)
}
