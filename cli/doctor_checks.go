package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/term"
)

// slowPing is a latency at which a script of many small commands becomes tedious.
const slowPing = 100 * time.Millisecond

// programChecks are about the program and the place where it runs.
func (p *program) programChecks() []check {
	v := p.versions()
	checks := []check{
		{"program", statusInfo, strings.TrimSpace(p.name + " " + cmp.Or(v.Version, "(devel)") + " " + v.Revision), ""},
		{"versions", statusInfo, fmt.Sprintf("rikki %s, mongo driver %s, %s %s", v.Rikki, v.Driver, v.Go, v.Platform), ""},
	}
	app, err := p.offline()
	switch {
	case err != nil:
		checks = append(checks, p.failed("scripts", err))
	case len(app.Scripts()) == 0:
		checks = append(checks, check{"scripts", statusInfo, "none", ""})
	default:
		checks = append(checks, check{"scripts", statusOK, fmt.Sprint(len(app.Scripts())), ""})
	}
	if root, ok := projectRoot(workDir()); ok {
		checks = append(checks, check{"project", statusInfo, root, ""})
	} else {
		checks = append(checks, check{"project", statusInfo, "none: no go.mod and no .git upward of " + workDir(), ""})
	}
	return append(checks, check{"env file", statusInfo, cmp.Or(p.env.path, "none"), ""})
}

// mongoChecks are about the server and the rights there.
func (p *program) mongoChecks(ctx context.Context) []check {
	s, err := p.open(ctx, func(cfg *rikki.Config) { cfg.Conn.KeepOpen = true })
	if err != nil {
		return []check{p.failed("mongodb", err)}
	}
	quiet := s.announce(lateAfter)
	checks := s.serverChecks(ctx)
	quiet()
	if err := s.close(ctx); err != nil {
		checks = append(checks, p.failed("disconnect", err))
	}
	return checks
}

func (s *session) serverChecks(ctx context.Context) []check {
	source := s.runs.Conn()
	checks := []check{
		{"uri", statusInfo, source.URI() + " (from " + s.target.origin + ")", ""},
		{"database", statusInfo, cmp.Or(source.Database(), "none"), ""},
	}
	if s.target.origin == "default" {
		checks[0].Fix = "set MONGODB_URI, unless this is what you mean"
	}
	health, err := source.Check(ctx)
	if err != nil {
		return append(checks, s.p.failed("mongodb", err))
	}
	st := source.Status()
	ping := check{"mongodb", statusOK, serverText(st) + ", answers in " + term.Duration(health.Latency), ""}
	if health.Latency > slowPing {
		ping.Status, ping.Fix = statusWarning, "run nearer to the server, or make batches larger"
	}
	transactions := check{"transactions", statusOK, transactionsText(st), ""}
	if !st.Transactions {
		transactions.Status = statusWarning
		transactions.Fix = "make it a replica set of one: mongod --replSet rs0, then rs.initiate() in mongosh"
	}
	checks = append(checks, ping, transactions)
	for _, warning := range st.Warnings {
		checks = append(checks, check{"uri", statusWarning, warning, "take the option out of the URI"})
	}
	return append(checks, s.historyCheck(ctx))
}

func (s *session) historyCheck(ctx context.Context) check {
	name := cmp.Or(s.p.app.Config.HistoryDatabase, rikki.DefaultHistoryDatabase)
	err := s.runs.CheckHistory(ctx)
	switch {
	case err == nil:
		return check{"history", statusOK, "database " + name + ": may be written, indexes are there", ""}
	case errors.Is(err, rikki.ErrNoHistory):
		return check{"history", statusWarning, "turned off by the program", ""}
	case isDenied(err):
		return check{
			"history", statusFailed, "the account may not write to the database " + name,
			"grant it readWrite there; until then scripts run without history and without protection from running twice",
		}
	}
	return s.p.failed("history", err)
}

// embeddedChecks look for what the embedded server would run and where it keeps data. They fetch and start nothing.
func (p *program) embeddedChecks(ctx context.Context) []check {
	to, _ := p.target() // what is wrong with it, the checks of MongoDB say
	wanted := p.app.Embedded || p.flags.Embedded || to.embedded
	binary, err := embedded.Locate(ctx, &embedded.Options{Offline: true})
	var checks []check
	switch {
	case err == nil:
		text := string(binary.Source) + ": " + binary.Path
		if binary.Version != "" {
			text = binary.Version + " from " + text
		}
		checks = append(checks, check{"mongod", statusOK, text, ""})
	case errors.Is(err, embedded.ErrOffline), errors.Is(err, embedded.ErrNoBinary):
		checks = append(checks, check{"mongod", statusInfo, "none here yet; --embedded fetches one", ""})
	case wanted:
		checks = append(checks, p.failed("mongod", err))
	default:
		checks = append(checks, check{"mongod", statusWarning, plain(err), ""})
	}
	if dir, err := p.embeddedDir(); err == nil {
		checks = append(checks, check{"embedded data", statusInfo, sizeText(dir), ""})
	}
	if cache, err := os.UserCacheDir(); err == nil {
		checks = append(checks, check{"cache", statusInfo, sizeText(filepath.Join(cache, "rikki")), ""})
	}
	return checks
}

func sizeText(dir string) string {
	if !exists(dir) {
		return relative(dir) + ", not there"
	}
	return relative(dir) + ", " + term.Bytes(sizeOf(dir))
}

// sizeOf adds up the files below a directory. Those that come and go meanwhile don't matter.
func sizeOf(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

func (p *program) terminalChecks() []check {
	var parts []string
	for _, stream := range []struct {
		name string
		of   any
	}{{"stdin", p.std.In}, {"stdout", p.std.Out}, {"stderr", p.std.Err}} {
		kind := "no terminal"
		if term.IsTerminal(stream.of) {
			kind = "terminal"
		}
		parts = append(parts, stream.name+" "+kind)
	}
	if width := p.term.Width(); width > 0 {
		parts = append(parts, fmt.Sprintf("%d columns", width))
	}
	for _, name := range []string{"TERM", "NO_COLOR", "CI"} {
		if value := p.env.Get(name); value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	return []check{{"terminal", statusInfo, strings.Join(parts, ", "), ""}}
}

// failed is the line for an error.
func (p *program) failed(name string, err error) check {
	words := p.words(err, exitOf(err))
	text := words.What
	if words.Why != "" {
		text += "\n" + words.Why
	}
	if connect, ok := errors.AsType[*conn.Error](err); ok {
		words.Fix = connect.Fix // without the advice to ask the doctor
	}
	return check{name, statusFailed, text, words.Fix}
}
