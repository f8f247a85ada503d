package cli

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
)

type serveFlags struct {
	Workers     int           `default:"4" min:"1" max:"1000" help:"Runs at a time in this process."`
	Script      []string      `placeholder:"NAME" help:"Only runs of these scripts."`
	Grace       time.Duration `default:"30s" min:"0s" help:"How long runs may go on after Ctrl-C or SIGTERM."`
	Poll        time.Duration `default:"2s" min:"100ms" help:"How often to look into the queue without being told of a change."`
	Schedules   string        `placeholder:"FILE" help:"Define the schedules of this YAML file, beside those of the program."`
	NoSchedules bool          `help:"Fire no schedules, only run what is queued."`
	Notify      string        `placeholder:"FILE" help:"Tell of failures and more as this file says (default: $RIKKI_NOTIFY)."`
	Listen      string        `placeholder:"ADDRESS" help:"Answer /healthz and /readyz there, such as 127.0.0.1:8080 (default: nowhere)."`
}

func newServeCommand(p *program) *cobra.Command {
	flags := &serveFlags{}
	c := &command{
		name: "serve", short: "Run what is queued and what is scheduled, until Ctrl-C.", flags: flags,
		long: "Any number of processes may serve one queue; each run is taken by one of them. When one dies, the others go on\n" +
			"with its runs where their scripts keep checkpoints. On Ctrl-C or SIGTERM no more runs are taken, and those under\n" +
			"way have the time of --grace. Schedules are fired too, by whichever process is first.",
		examples: []string{"serve", "serve --workers=8 --grace=2m --listen=127.0.0.1:8080", "serve --script=SCRIPT"},
	}
	c.run = func(ctx context.Context, _ []string) error {
		return p.serve(ctx, *flags)
	}
	return p.cobra(c)
}

// serve runs the queue, and tells at the end what it has done.
func (p *program) serve(ctx context.Context, flags serveFlags) error {
	s, err := p.open(ctx, func(cfg *rikki.Config) {
		if cfg.Conn.PoolSize == 0 {
			cfg.Conn.PoolSize = uint64(2 * flags.Workers) //nolint:gosec // between 1 and 1000
		}
	})
	if err != nil {
		return causeOf(ctx, err)
	}
	watch := &serveWatch{states: make(map[rikki.State]int), poll: flags.Poll}
	err = s.serveQueue(ctx, flags, watch)
	if closeErr := s.endServe(ctx, err); closeErr != nil {
		p.term.Warn("closing the connection: %v", closeErr)
	}
	if err != nil {
		return causeOf(ctx, err)
	}
	return watch.tell(p)
}

func (s *session) serveQueue(ctx context.Context, flags serveFlags, watch *serveWatch) error {
	defer s.announce(0)()
	stop, err := watch.listen(ctx, s.p, flags.Listen)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.seed(ctx); err != nil {
		return err
	}
	silence, err := s.notifying(ctx, flags.Notify)
	if err != nil {
		return err
	}
	defer silence()
	if !s.p.flags.Quiet {
		defer context.AfterFunc(ctx, func() {
			s.p.term.Note("Stopping: runs under way have %s. Press Ctrl-C again to exit now.", flags.Grace)
		})()
	}
	first := sync.OnceFunc(func() {
		s.p.term.Note("Serving the queue of %s with %d workers. Ctrl-C ends it.", s.where(), flags.Workers)
	})
	return s.serveAll(ctx, flags, watch, &rikki.ServeOptions{
		Workers: flags.Workers, Scripts: flags.Script, Grace: max(flags.Grace, time.Nanosecond), Poll: flags.Poll,
		Observers: []rikki.Observer{watch},
		Report: func(st rikki.ServeStatus) {
			watch.report(st)
			if st.Ready {
				first()
			}
		},
	})
}

// endServe closes the session. Scripts that don't stop aren't waited for.
func (s *session) endServe(ctx context.Context, err error) error {
	if err == nil {
		return s.close(ctx)
	}
	return s.end(ctx, &rikki.Result{})
}

// serveWatch knows how the serving goes, for its health and for the last line.
type serveWatch struct {
	poll time.Duration

	mu     sync.Mutex
	status rikki.ServeStatus
	opened bool                // the schedules, if any shall be fired
	states map[rikki.State]int // of the runs that ended here
}

func (w *serveWatch) report(st rikki.ServeStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = st
}

// open says that the schedules are fired, too.
func (w *serveWatch) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = true
}

// Observe implements [rikki.Observer].
func (w *serveWatch) Observe(event rikki.Event) {
	if event.Type != rikki.EventResult {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[event.Result.State]++
}

// listen answers how the process stands. Nothing there is secret, and nothing can be changed.
func (w *serveWatch) listen(ctx context.Context, p *program, address string) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &problemError{
			What: "cannot listen on " + address, Why: err.Error(), Code: ExitUnreachable,
			Fix: "give a free address to --listen, such as 127.0.0.1:0 for any port", Err: err,
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { w.answer(rw, w.healthy) })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		w.answer(rw, func(st rikki.ServeStatus) bool { return st.Ready && !st.Draining })
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) }) // ends with ErrServerClosed
	p.term.Note("Health on http://%s/healthz and /readyz", listener.Addr())
	return func() { _ = server.Close(); done.Wait() }, nil
}

// healthy tells whether the process works: it has reached the queue not long ago. One that drains works too.
func (w *serveWatch) healthy(st rikki.ServeStatus) bool {
	const patience = 30 * time.Second
	return st.Draining || time.Since(st.Looked) < patience+2*w.poll
}

func (w *serveWatch) answer(rw http.ResponseWriter, good func(rikki.ServeStatus) bool) {
	w.mu.Lock()
	st := w.status
	st.Ready = st.Ready && w.opened
	w.mu.Unlock()
	body := struct {
		OK bool `json:"ok"`
		rikki.ServeStatus
	}{good(st), st}
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Header().Set("Cache-Control", "no-store")
	if !body.OK {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(rw).Encode(body) // whoever asked has gone
}

// tell says what was done.
func (w *serveWatch) tell(p *program) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	total := 0
	var parts []string
	for _, state := range rikki.States() {
		if n := w.states[state]; n > 0 {
			total += n
			parts = append(parts, strconv.Itoa(n)+" "+state.String())
		}
	}
	if p.term.JSON() {
		return p.term.Result(struct {
			V      int                 `json:"v"`
			Runs   int                 `json:"runs"`
			States map[rikki.State]int `json:"states"`
		}{1, total, w.states})
	}
	line := "served " + strconv.Itoa(total) + " runs"
	if total == 1 {
		line = "served 1 run"
	}
	if len(parts) > 0 {
		line += " — " + strings.Join(parts, ", ")
	}
	p.term.Done("%s", line)
	return nil
}
