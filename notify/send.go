package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rikki-go/rikki/internal/redact"
)

// MaxAttempts is how often the delivery of a message is tried.
const MaxAttempts = 10

const (
	secretPrefix  = "whsec_"
	maxRetryAfter = time.Hour
	bodyStart     = 300
)

// sign returns the value of the header webhook-signature.
func sign(secret, id string, at int64, body []byte) string {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = decoded
		}
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(fmt.Appendf(nil, "%s.%d.%s", id, at, body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// messageID is the id that a message keeps through all attempts.
func messageID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "msg_" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

// Answer is how a target answered.
type Answer struct {
	Target  string        `json:"target"`
	Status  int           `json:"status,omitempty"`
	Took    time.Duration `json:"took"`
	Body    string        `json:"body,omitempty"`  // its beginning
	Error   string        `json:"error,omitempty"` // why it isn't delivered
	again   bool          // it may be delivered later
	atLeast time.Duration // not before
}

// OK tells whether the message was delivered.
func (a Answer) OK() bool { return a.Error == "" }

// client follows no redirects: a target is what the configuration says.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send makes one attempt to deliver a message.
func (t Target) send(ctx context.Context, client *http.Client, id string, m Message) Answer {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	hide, began := t.redactor(), time.Now()
	answer := Answer{Target: t.Name}
	req, err := t.request(ctx, id, m, began)
	if err != nil {
		answer.Error = "the request can't be made"
		return answer
	}
	resp, err := client.Do(req)
	answer.Took = time.Since(began)
	if err != nil {
		answer.Error, answer.again = hide.Text(reason(err)), true
		return answer
	}
	defer func() { _ = resp.Body.Close() }()
	start, _ := io.ReadAll(io.LimitReader(resp.Body, bodyStart)) // what came of it is enough
	answer.Status, answer.Took = resp.StatusCode, time.Since(began)
	answer.Body = hide.Text(strings.ToValidUTF8(string(start), ""))
	switch {
	case resp.StatusCode/100 == 2:
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode/100 == 5:
		answer.Error, answer.again = "it answered "+resp.Status, true
		answer.atLeast = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	case resp.StatusCode/100 == 3:
		answer.Error = "it answered " + resp.Status + ", and redirects are not followed"
	default:
		answer.Error = "it answered " + resp.Status
	}
	answer.Error = hide.Text(answer.Error)
	return answer
}

func (t Target) request(ctx context.Context, id string, m Message, at time.Time) (*http.Request, error) {
	var body any = m
	address := t.URL
	switch t.Format {
	case Slack:
		text := m.Text
		if m.Link != "" {
			text += "\n" + m.Link
		}
		// What Slack takes for its own marks.
		body = map[string]string{"text": strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)}
	case Ping:
		body = nil
		if m.Event == Failure {
			u, err := parse(t.URL)
			if err != nil {
				return nil, err
			}
			address = u.JoinPath("fail").String()
		}
	default:
	}
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rikki")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	if t.Secret != "" {
		req.Header.Set("Webhook-Signature", sign(t.Secret, id, at.Unix(), data))
	}
	return req, nil
}

// reason is an error of the network without the address, which may hold a token.
func reason(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	return redact.Text(err.Error())
}

// retryAfter reads the header of this name: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// pause is how long to wait after so many attempts: drawn at random between nothing and twice an interval that doubles.
func (c Config) pause(attempts int) time.Duration {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = c.initial, c.most, 2, 1
	b.Reset()
	var pause time.Duration
	for range attempts {
		pause = b.NextBackOff()
	}
	return pause
}
