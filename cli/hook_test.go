package cli_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

// hook is the receiver of the stories. It writes NAME=URL to the first file once it listens, and what it gets to the second.
func hook() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte("HOOK_URL=http://"+listener.Addr().String()+"/services/T0PSECRET\nHOOK_SECRET=whsec_c2VjcmV0\n"), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/services/T0PSECRET/nope" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = fmt.Fprintf(log, "%s %t %s\n", r.URL.Path, r.Header.Get("Webhook-Signature") != "", body)
		_, _ = fmt.Fprint(w, "thanks")
	})}
	go func() { <-ctx.Done(); _ = server.Close() }()
	_ = server.Serve(listener)
}
