// Package notify tells people and programs how runs end: a webhook when a script fails, recovers, begins late or is stuck, when
// a schedule pauses itself, and a ping for a dead man's switch when a scheduled run succeeds.
//
//	notifier, err := notify.New(app, &notify.Config{Targets: []notify.Target{{
//		Name: "ops", URL: os.Getenv("OPS_WEBHOOK"), Secret: os.Getenv("OPS_WEBHOOK_SECRET"),
//	}}})
//	err = notifier.Run(ctx) // beside app.Serve(ctx, …)
//
// # What is promised
//
// A run's end and the fact that nobody has been told of it are one write. A notifier, in whatever process, turns it into
// messages in the collection notifications, whose _id is made of the kind, the occurrence and the target. So there is one
// message of each kind for each occurrence, with any number of processes, and also when they are killed: the run of a killed
// process counts as interrupted once its lease has expired, and that is told as a failure.
//
// A message is delivered at least once, always with the same webhook-id: a receiver that must not act twice ignores an id that
// it has seen. It is tried again with back-off and full jitter after errors of the network, after 429 and after 5xx answers, at
// most [MaxAttempts] times and for a day. Any other answer than 2xx ends it.
//
// What happened before a notifier ran for the first time on a database is not told. Processes on one database should have the
// same targets: the one that first sees the end of a run writes the messages, for its own targets. A run without history tells
// nothing, and neither does a dry run.
//
// # Verifying a message
//
// A message with a secret is signed as Standard Webhooks has it: the header webhook-signature is "v1," and the base64 of the
// HMAC-SHA256 of webhook-id, webhook-timestamp and the body, joined by dots. See the example. Refuse old timestamps.
package notify
