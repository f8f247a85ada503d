package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/notify"
)

// notifyFile is what the YAML of --notify may say.
type notifyFile struct {
	LateAfter  time.Duration `min:"0s"`
	StuckAfter time.Duration `min:"0s"`
	Link       string
	Targets    []notifyTarget `required:"true"`
}

type notifyTarget struct {
	Name      string `required:"true"`
	URL       string
	URLEnv    string
	SecretEnv string
	Format    string `enum:"json,slack,ping" default:"json"`
	Events    []string
	Scripts   []string
	Schedules []string
	Timeout   time.Duration `min:"0s"`
}

// notifyConfig reads the file that a flag names, or else the environment.
func (p *program) notifyConfig(path string) (*notify.Config, error) {
	path = cmp.Or(path, p.env.Get("RIKKI_NOTIFY"))
	if path == "" {
		return nil, nil //nolint:nilnil // nobody wants notifications
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := yamlfile.Parse(path, data)
	if err != nil {
		return nil, err
	}
	var read notifyFile
	if err := file.Fill(&read, file.Map()); err != nil {
		return nil, err
	}
	cfg := &notify.Config{LateAfter: read.LateAfter, StuckAfter: read.StuckAfter, Link: read.Link}
	for _, t := range read.Targets {
		target := notify.Target{
			Name: t.Name, URL: t.URL, Format: notify.Format(t.Format), Scripts: t.Scripts, Schedules: t.Schedules, Timeout: t.Timeout,
		}
		for _, variable := range []struct {
			name string
			to   *string
		}{{t.URLEnv, &target.URL}, {t.SecretEnv, &target.Secret}} {
			if variable.name == "" {
				continue
			}
			if *variable.to = p.env.Get(variable.name); *variable.to == "" {
				return nil, &problemError{
					What: "target " + t.Name + " of " + path + " needs the variable " + variable.name, Why: "it is not set",
					Fix: "set it in the environment or in .env", Code: ExitUsage,
				}
			}
		}
		for _, event := range t.Events {
			target.Events = append(target.Events, notify.Kind(event))
		}
		cfg.Targets = append(cfg.Targets, target)
	}
	return cfg, nil
}

// notifier returns the notifier of a file; nil when there is none.
func (p *program) notifier(app *rikki.App, path string) (*notify.Notifier, error) {
	cfg, err := p.notifyConfig(path)
	if err != nil || cfg == nil {
		return nil, err
	}
	n, err := notify.New(app, cfg)
	if err != nil {
		return nil, &problemError{
			What: "the notifications can't be set up", Why: err.Error(), Code: ExitUsage, Err: err,
			Fix: "correct " + cmp.Or(path, p.env.Get("RIKKI_NOTIFY")),
		}
	}
	return n, nil
}

func (p *program) needNotifier(app *rikki.App, path string) (*notify.Notifier, error) {
	n, err := p.notifier(app, path)
	if err == nil && n == nil {
		return nil, &problemError{
			What: "no file says where notifications go", Code: ExitUsage, Fix: "name one with --notify=FILE, or in the variable RIKKI_NOTIFY",
		}
	}
	return n, err
}

// notifying runs the notifier until stop is called.
func (s *session) notifying(ctx context.Context, path string) (stop func(), err error) {
	n, err := s.p.notifier(s.runs, path)
	if err != nil || n == nil {
		return func() {}, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it also tells of runs that end while the process drains
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if err := n.Run(ctx); err != nil && ctx.Err() == nil {
				s.p.term.Warn("no notifications are sent, trying again in %s: %v", notifyPause, err)
			}
			again := time.NewTimer(notifyPause)
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
			}
		}
	}()
	return func() { cancel(); <-ended }, nil
}

// notifyPause is how long to wait for a history that can't be used, before the notifier begins again.
const notifyPause = 10 * time.Second

type notifyFlags struct {
	Notify string `placeholder:"FILE" help:"File that names the targets (default: $RIKKI_NOTIFY)."`
}

func newNotifyCommand(p *program) *cobra.Command {
	return p.group(&command{
		name: "notify", short: "See and try where notifications go.",
		examples: []string{"notify test --notify=notify.yaml", "notify list --notify=notify.yaml"},
	}, newNotifyListCommand(p), newNotifyTestCommand(p))
}

func newNotifyTestCommand(p *program) *cobra.Command {
	flags := &notifyFlags{}
	c := &command{
		name: "test", short: "Send a test message, and show the answer.", args: []string{"[NAME]"}, flags: flags,
		long:     "Sends one message, now, to the target NAME or to all of them. MongoDB isn't needed. A ping counts as a real one.",
		examples: []string{"notify test --notify=notify.yaml", "notify test ops"},
	}
	c.run = func(ctx context.Context, args []string) error {
		app, err := p.offline()
		if err != nil {
			return err
		}
		n, err := p.needNotifier(app, flags.Notify)
		if err != nil {
			return err
		}
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		answers, err := n.Test(ctx, name)
		if errors.Is(err, notify.ErrNoTarget) {
			return &problemError{What: err.Error(), Code: ExitUsage, Fix: "see " + p.call("notify", "list")}
		}
		if err != nil {
			return err
		}
		return p.tellAnswers(answers)
	}
	return p.cobra(c)
}

func (p *program) tellAnswers(answers []notify.Answer) error {
	bad := 0
	table := term.Table{Columns: []term.Column{{Name: "Target"}, {Name: "Status"}, {Name: "Took"}, {Name: "Answer", Flex: true}}}
	for _, a := range answers {
		text := strings.Join(strings.Fields(a.Body), " ")
		if !a.OK() {
			bad++
			text = strings.TrimSuffix(a.Error+": "+text, ": ")
		}
		table.Rows = append(table.Rows, []string{a.Target, statusText(a.Status), term.Duration(a.Took), text})
	}
	var err error
	if p.term.JSON() {
		err = p.term.Result(map[string]any{"v": 1, "answers": answers})
	} else {
		err = p.term.Table(table)
	}
	if err == nil && bad > 0 {
		return &problemError{
			What: fmt.Sprintf("%d of %d targets did not take the message", bad, len(answers)), Code: ExitFailed,
			Fix: "check the address and the secret of each",
		}
	}
	return err
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return strconv.Itoa(status)
}

type notifyListFlags struct {
	notifyFlags
	Limit int `default:"20" min:"1" max:"1000" help:"How many messages."`
}

func newNotifyListCommand(p *program) *cobra.Command {
	flags := &notifyListFlags{}
	c := &command{
		name: "list", short: "List the targets and the last messages.", flags: flags,
		examples: []string{"notify list --notify=notify.yaml", "notify list --json"},
	}
	c.run = func(ctx context.Context, _ []string) error {
		return p.with(ctx, func(s *session) error {
			n, err := p.needNotifier(s.runs, flags.Notify)
			if err != nil {
				return err
			}
			deliveries, err := n.Deliveries(ctx, flags.Limit)
			if err != nil {
				return err
			}
			return p.tellDeliveries(n.Targets(), deliveries)
		})
	}
	return p.cobra(c)
}

func (p *program) tellDeliveries(targets []notify.TargetInfo, deliveries []notify.Delivery) error {
	if p.term.JSON() {
		if deliveries == nil {
			deliveries = []notify.Delivery{}
		}
		return p.term.Result(map[string]any{"v": 1, "targets": targets, "deliveries": deliveries})
	}
	where := term.Table{Columns: []term.Column{{Name: "Target"}, {Name: "Host", Flex: true}, {Name: "Format"}, {Name: "Signed"}, {Name: "Events", Flex: true}}}
	for _, t := range targets {
		signed := "no"
		if t.Signed {
			signed = "yes"
		}
		where.Rows = append(where.Rows, []string{t.Name, t.Host, string(t.Format), signed, strings.Trim(fmt.Sprint(t.Events), "[]")})
	}
	if err := p.term.Table(where); err != nil {
		return err
	}
	table := term.Table{Empty: "No messages yet.", Columns: []term.Column{
		{Name: "When"}, {Name: "Event"}, {Name: "Of", Flex: true}, {Name: "To"}, {Name: "State"}, {Name: "Tries", Align: term.Right}, {Name: "Status"}, {Name: "Error", Flex: true},
	}}
	for _, d := range deliveries {
		table.Rows = append(table.Rows, []string{
			term.Ago(d.At, time.Now()), string(d.Event), d.Subject, d.Target, d.State, strconv.Itoa(d.Attempts), statusText(d.Status), d.Error,
		})
	}
	return p.term.Table(table)
}
