package conn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rikki-go/rikki/internal/redact"
)

// A Source hands out counted references to one shared client. It is safe for
// concurrent use, and New makes one without any I/O.
//
// # The rules of counting
//
//  1. A Source has at most one client. A connect under way is joined, not
//     repeated, and a new client is made only when the old one is gone.
//  2. Every successful Acquire is one reference, also for a caller that joined a
//     connect under way. Each reference counts until its first Release;
//     further ones do nothing.
//  3. The last Release disconnects, unless Config.KeepOpen is set. Counting
//     and taking the client away are one step, so an Acquire at the same
//     moment gets either the living client or a new one, never a closed one.
//  4. A caller whose context ends while it waits for a connect gives up its own
//     wait only. When nobody waits any more, the connect is stopped.
//  5. A failed connect fails for all who wait for it and leaves nothing behind; the
//     next Acquire tries anew.
//  6. Nothing but the last Release and Close disconnects: neither an error of
//     one user nor a server that is down. The driver recovers by itself.
//  7. Close takes the client from everybody. Operations under way fail, a
//     waiting Acquire returns [ErrClosed], and the Release of a reference from
//     before does nothing. A later Acquire connects anew.
type Source struct {
	cfg      Config
	log      *slog.Logger
	redactor *redact.Redactor
	address  func() address // read once, at first use: a .env file may be loaded after New
	connect  func(ctx context.Context, l *link) error

	mu     sync.Mutex
	link   *link // the last one; nil before the first Acquire
	failed bool  // the last connect failed, and nobody has asked for another yet
	err    error // of the last failed connect
	since  time.Time
	warned []string // settings of the URI that were overridden

	reporting sync.Mutex // one report at a time
	reported  Status
}

// New returns a Source for what cfg describes. It does not connect, and it
// reports nothing: a URI that is wrong makes Acquire fail.
func New(cfg Config) *Source {
	s := &Source{cfg: cfg, redactor: redact.New(), since: time.Now()}
	s.log = slog.New(slog.DiscardHandler)
	if cfg.Log != nil {
		s.log = slog.New(s.redactor.Handler(cfg.Log.Handler()))
	}
	s.address = sync.OnceValue(func() address {
		a := s.cfg.address()
		s.redactor.AddURI(a.uri)
		return a
	})
	s.connect = s.dial
	return s
}

// shared is the process's one Source. It is made at first use and never
// replaced.
var shared = sync.OnceValue(func() *Source { return New(Config{}) })

// Default returns the Source that everybody in this process shares. It connects to
// what the environment names.
func Default() *Source { return shared() }

// URI returns the connection string in a form that is safe to show.
func (s *Source) URI() string { return redact.URI(s.address().uri) }

// Origin tells where the URI came from: [OriginConfig] or Config.Origin,
// [OriginMongoDBURI], [OriginMongoURI] or [OriginDefault].
func (s *Source) Origin() string { return s.address().origin }

// Database returns the name of the database that [Ref.DB] will return, without
// connecting. It is empty when neither the Config nor the URI names one.
func (s *Source) Database() string {
	if s.cfg.Database != "" {
		return s.cfg.Database
	}
	return databaseOf(s.address().uri)
}

// Secrets calls add with every credential of the URI, so that a program can
// keep them out of output of its own.
func (s *Source) Secrets(add func(secret string)) {
	for _, secret := range redact.Secrets(s.address().uri) {
		add(secret)
	}
}

// Acquire returns a reference to the shared client and connects if need be. It
// returns once the server has answered and accepted the credentials, or an
// [*Error]. The caller must Release the reference.
func (s *Source) Acquire(ctx context.Context) (*Ref, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := s.join() //nolint:contextcheck // the connect serves all who join it, see rule 4
	select {
	case <-l.ready:
	case <-ctx.Done():
		_ = s.leave(ctx, l) // the caller is told why it got nothing
		return nil, context.Cause(ctx)
	}
	if l.err != nil {
		return nil, l.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.taken {
		return nil, ErrClosed
	}
	return &Ref{source: s, link: l}, nil
}

// With calls fn with a reference and releases it when fn returns or panics. It
// returns the error of Acquire or of fn. A failure to disconnect is logged only:
// what fn did stays done.
func (s *Source) With(ctx context.Context, fn func(ctx context.Context, ref *Ref) error) error {
	ref, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := ref.Release(ctx); err != nil {
			s.log.WarnContext(ctx, "disconnecting from MongoDB failed", "error", err)
		}
	}()
	return fn(ctx, ref)
}

// Close disconnects at once, whoever still uses the client, and waits until
// everything that the Source started has ended, or until ctx is done. Closing
// a closed Source does nothing. A later Acquire connects anew.
func (s *Source) Close(ctx context.Context) error {
	s.mu.Lock()
	l := s.link
	if l == nil {
		s.mu.Unlock()
		return nil
	}
	mine, opened := !l.taken, l.opened
	if mine {
		s.take(l)
	}
	s.failed = false
	s.mu.Unlock()
	switch {
	case mine && opened:
		return s.redactor.Error(l.shut(context.WithoutCancel(ctx), forcedGrace))
	case mine:
		l.stop(ErrClosed) // and open ends the link
	}
	select {
	case <-l.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
