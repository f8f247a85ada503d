package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/notify"
)

// A receiver verifies a message before it believes it.
func Example() {
	const secret = "c2VjcmV0LW9mLXRoZS10ZWFt"
	verify := func(r *http.Request, body []byte) bool {
		key, _ := base64.StdEncoding.DecodeString(secret)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		return hmac.Equal([]byte(want), []byte(r.Header.Get("webhook-signature")))
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println("verified:", verify(r, body))
	}))
	defer receiver.Close()

	app := rikki.New(nil)
	defer func() { _ = app.Close(context.Background()) }()
	notifier, err := notify.New(app, &notify.Config{Targets: []notify.Target{
		{Name: "ops", URL: receiver.URL, Secret: "whsec_" + secret},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	answers, err := notifier.Test(context.Background(), "ops")
	fmt.Println(answers[0].Status, err)
	// Output:
	// verified: true
	// 200 <nil>
}
