//go:build linux

package faultrig_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	addr := fmt.Sprintf("127.0.0.1:%d", mongotest.Server(t).Port())
	name := mongotest.DB(t).Name()

	through := func(t *testing.T, timeout time.Duration) (*faultrig.Routes, func(context.Context) error) {
		t.Helper()
		routes := faultrig.NewRoutes(t, addr)
		client := faultrig.Connect(t, mongotest.URI(t), func(o *options.ClientOptions) {
			routes.Options(o)
			o.SetMaxPoolSize(1).SetTimeout(timeout).SetHeartbeatInterval(500 * time.Millisecond).SetServerMonitoringMode("poll")
		})
		read := func(ctx context.Context) error {
			_, err := client.Database(name).Collection("c").InsertOne(ctx, bson.D{{Key: "s", Value: strings.Repeat("x", 1000)}})
			return err
		}
		if err := read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := routes.Counts(); c.Accepted == 0 || c.Answered == 0 {
			t.Fatalf("the client does not go through the proxy: %+v", c)
		}
		return routes, read
	}
	took := func(ctx context.Context, read func(context.Context) error) (time.Duration, error) {
		begun := time.Now()
		err := read(ctx)
		return time.Since(begun), err
	}

	t.Run("Delays", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 5*time.Second)
		routes.Set(faultrig.Toxics{Latency: 60 * time.Millisecond, Jitter: 10 * time.Millisecond})
		if d, err := took(t.Context(), read); d < 100*time.Millisecond || err != nil {
			t.Errorf("took %s, %v", d, err)
		}
	})

	t.Run("NarrowsTheBand", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 5*time.Second)
		routes.Set(faultrig.Toxics{Bandwidth: 10_000})
		if d, err := took(t.Context(), read); d < 100*time.Millisecond || err != nil {
			t.Errorf("took %s, %v", d, err)
		}
	})

	t.Run("SlicesWithoutHarm", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 5*time.Second)
		routes.Set(faultrig.Toxics{Slice: 1})
		if err := read(t.Context()); err != nil {
			t.Error(err)
		}
		if n := routes.Counts().Harmed; n < 1000 { // the document has as many bytes
			t.Errorf("%d pieces", n)
		}
	})

	t.Run("IsABlackHoleUntilItHeals", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 500*time.Millisecond)
		routes.Set(faultrig.Toxics{BlackHole: true})
		if d, err := took(t.Context(), read); d < 450*time.Millisecond || err == nil {
			t.Errorf("took %s, %v", d, err)
		}
		routes.Set(faultrig.Toxics{})
		faultrig.Eventually(t, time.Minute, "a read after healing", func(ctx context.Context) (bool, error) { return read(ctx) == nil, nil })
	})

	t.Run("CutsAndTheClientComesBack", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 5*time.Second)
		if n := routes.Cut(); n == 0 {
			t.Error("there was nothing to cut")
		}
		if err := read(t.Context()); err != nil {
			t.Error("a retryable write was not retried:", err)
		}
	})

	t.Run("CutsOffInTheMiddleOfAnAnswer", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 5*time.Second)
		before := routes.Counts().Broken
		routes.Set(faultrig.Toxics{LimitAnswers: 20})
		_ = read(t.Context())
		if routes.Counts().Broken == before {
			t.Error("no connection was broken")
		}
		routes.Set(faultrig.Toxics{})
		faultrig.Eventually(t, time.Minute, "a read after healing", func(ctx context.Context) (bool, error) { return read(ctx) == nil, nil })
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		routes, read := through(t, 5*time.Second)
		routes.Set(faultrig.Toxics{Refuse: true})
		if err := read(t.Context()); err == nil {
			t.Error("no error")
		}
		routes.Set(faultrig.Toxics{})
		faultrig.Eventually(t, time.Minute, "a read after healing", func(ctx context.Context) (bool, error) { return read(ctx) == nil, nil })
	})
}
