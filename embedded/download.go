package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// dialTimeout makes an unreachable host a matter of seconds.
	dialTimeout = 4 * time.Second
	// stallTimeout is how long a download may stand still.
	stallTimeout = 30 * time.Second
	// maxArchive bounds a download. An archive is some 100 MB.
	maxArchive = 1 << 30
	// downloadTries is how often an interrupted download is resumed.
	downloadTries = 4
)

// errNotFound means that the mirror has no such file.
var errNotFound = errors.New("not found on the mirror (404)")

// errStalled is the cause of a download that stands still.
var errStalled = errors.New("the download stands still")

// downloader fetches files over HTTP.
type downloader struct {
	client *http.Client
	stall  time.Duration
	report func(Progress)
}

func newDownloader(o Options) (*downloader, func()) {
	d := &downloader{stall: o.seams.stall, report: o.Progress}
	if d.stall == 0 {
		d.stall = stallTimeout
	}
	own := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   2 * dialTimeout,
		ResponseHeaderTimeout: d.stall,
		ForceAttemptHTTP2:     true,
	}
	var rt http.RoundTripper = own
	if o.seams.transport != nil {
		rt = o.seams.transport
	}
	d.client = &http.Client{Transport: rt, CheckRedirect: redirect}
	return d, d.client.CloseIdleConnections
}

// redirect keeps a chain of redirects on https.
func redirect(next *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("more than 5 redirects")
	}
	if next.URL.Scheme != "https" && via[0].URL.Scheme == "https" {
		return fmt.Errorf("refused to follow a redirect from https to %s", next.URL.Scheme)
	}
	return secure(next.URL)
}

// secure refuses a URL that is neither https nor on this very machine.
func secure(u *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("refused to download from %s://%s: only https is safe", u.Scheme, u.Host)
}

func loopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || (ip != nil && ip.IsLoopback())
}

// small fetches a file of at most a few hundred bytes.
func (d *downloader) small(ctx context.Context, rawURL string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.stall, errStalled)
	defer cancel()
	body, _, err := d.get(ctx, rawURL, 0)
	if err != nil {
		return "", err
	}
	defer body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(body, 4096))
	return string(b), err
}

// file fetches a file to path. What an earlier attempt left there is continued.
func (d *downloader) file(ctx context.Context, rawURL, path string) error {
	var err error
	for range downloadTries {
		if err = d.attempt(ctx, rawURL, path); err == nil || !resumable(ctx, err) {
			return err
		}
	}
	return err
}

// resumable says whether asking for the rest may help.
func resumable(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET))
}

func (d *downloader) attempt(ctx context.Context, rawURL, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // synced below
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, part, err := d.get(ctx, rawURL, have)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	if err := f.Truncate(part.start); err != nil {
		return err
	}
	if _, err := f.Seek(part.start, io.SeekStart); err != nil {
		return err
	}
	// The body is read by this goroutine; the timer only cancels the request under it.
	watch := time.AfterFunc(d.stall, func() { cancel(errStalled) })
	defer watch.Stop()
	progress := func(done int64) error {
		watch.Reset(d.stall)
		if done > maxArchive {
			return fmt.Errorf("the file is larger than %d bytes", maxArchive)
		}
		if d.report != nil {
			d.report(Progress{Name: rawURL[strings.LastIndexByte(rawURL, '/')+1:], Done: done, Total: max(0, part.total)})
		}
		return nil
	}
	if err := transfer(f, body, part, progress); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return f.Sync()
}

// transfer appends a body to a file, piece by piece.
func transfer(w io.Writer, body io.Reader, part span, progress func(done int64) error) error {
	buf := make([]byte, 256<<10)
	done := part.start
	for {
		n, rerr := body.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		done += int64(n)
		if err := progress(done); err != nil {
			return err
		}
		switch {
		case errors.Is(rerr, io.EOF) && part.total > 0 && done < part.total:
			return io.ErrUnexpectedEOF
		case errors.Is(rerr, io.EOF):
			return nil
		case rerr != nil:
			return rerr
		}
	}
}

// span is the part of a file that an answer holds: from start to the end of
// total bytes; total is -1 when the server does not say.
type span struct{ start, total int64 }

// get asks for a file from an offset on. The answer may start earlier.
func (d *downloader) get(ctx context.Context, rawURL string, offset int64) (io.ReadCloser, span, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, http.NoBody)
	if err != nil {
		return nil, span{}, err
	}
	if err := secure(req.URL); err != nil {
		return nil, span{}, err
	}
	req.Header.Set("User-Agent", "rikki")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	res, err := d.client.Do(req)
	if err != nil {
		return nil, span{}, err
	}
	switch res.StatusCode {
	case http.StatusOK:
		return res.Body, span{0, res.ContentLength}, nil
	case http.StatusPartialContent:
		part, err := contentRange(res.Header.Get("Content-Range"))
		if err == nil && part.start <= offset {
			return res.Body, part, nil
		}
	}
	_ = res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusForbidden: // a bucket's "no such file"
		return nil, span{}, errNotFound
	case offset > 0: // whatever is wrong with the rest, try the whole
		return d.get(ctx, rawURL, 0)
	}
	return nil, span{}, fmt.Errorf("the server answered %s", res.Status)
}

// contentRange reads "bytes 10-99/100".
func contentRange(s string) (span, error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	from, rest, ok2 := strings.Cut(rest, "-")
	_, total, ok3 := strings.Cut(rest, "/")
	start, err := strconv.ParseInt(from, 10, 64)
	size, err2 := strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil || err2 != nil || start < 0 || size < start {
		return span{}, fmt.Errorf("unusable Content-Range %q", s)
	}
	return span{start, size}, nil
}
