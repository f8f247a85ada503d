//go:build linux

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/faultrig"
)

// eachOnce tells whether every run left exactly one trace.
func eachOnce(ctx context.Context, s *scene, ids []string) error {
	cur, err := s.db.Collection("did").Find(ctx, bson.D{})
	if err != nil {
		return err
	}
	var docs []struct {
		ID string `bson:"_id"`
		N  int    `bson:"n"`
	}
	if err := cur.All(ctx, &docs); err != nil {
		return err
	}
	done := map[string]int{}
	for _, d := range docs {
		done[d.ID] = d.N
	}
	for _, id := range ids {
		if done[id] != 1 {
			return fmt.Errorf("run %s was done %d times", id, done[id])
		}
	}
	return nil
}

// naiveQueue takes what is queued by looking first and writing then, as many job collections do.
func naiveQueue(ctx context.Context, w *faultrig.Worker) error {
	var p place
	if err := w.Args(&p); err != nil {
		return err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(p.URI))
	if err != nil {
		return err
	}
	defer client.Disconnect(context.WithoutCancel(ctx)) //nolint:errcheck // the process ends
	jobs := client.Database(p.Database).Collection("jobs")
	for {
		var job struct {
			ID string `bson:"_id"`
		}
		err := jobs.FindOne(ctx, bson.D{{Key: "state", Value: "queued"}}).Decode(&job)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := jobs.UpdateByID(ctx, job.ID, bson.D{{Key: "$set", Value: bson.D{{Key: "state", Value: "running"}}}}); err != nil {
			return err
		}
		if err := mark(ctx, client.Database(p.Database).Collection("did"), job.ID); err != nil {
			return err
		}
	}
}

// Negative control of [TestManyWorkersTakeEachRunOnce].
func TestANaiveQueueIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	var ids []string
	for i := range 300 {
		id := fmt.Sprint("job", i)
		ids = append(ids, id)
		if _, err := s.db.Collection("jobs").InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "state", Value: "queued"}}); err != nil {
			t.Fatal(err)
		}
	}
	var fleet []*faultrig.Process
	for range 5 {
		fleet = append(fleet, faultrig.Start(t, "naive", s.place))
	}
	for _, p := range fleet {
		if code := p.Wait(t, time.Minute); code != 0 {
			t.Fatal(p.Output())
		}
	}
	if err := eachOnce(t.Context(), s, ids); err == nil {
		t.Error("a naive queue gave every job to one worker: the test can't tell")
	} else {
		t.Log(err)
	}
}
