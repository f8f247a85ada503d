package backfill_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// cents are stored by a codec of the client's own.
type cents int64

// account has the tags of package json, which the client is told to heed.
type account struct {
	ID    string   `json:"_id"`
	Owner string   `json:"owned_by"`
	Tags  []string `json:"tags"`
	Due   cents    `json:"due"`
}

type tagged struct{}

func (*tagged) Backfill() backfill.Options { return backfill.Options{Collection: "accounts"} }

func (*tagged) Change(_ context.Context, a account) (backfill.Change, error) {
	if strings.HasSuffix(a.ID, "0") {
		return backfill.Replace(account{ID: a.ID, Owner: a.Owner + "!", Due: 3}).Also("copies", a.ID, a), nil
	}
	if strings.HasSuffix(a.ID, "2") {
		return backfill.Set("share", 0.5), nil
	}
	return backfill.Set("tags", a.Tags).Set("due", a.Due+1).Set("was", account{ID: a.ID, Owner: a.Owner}), nil
}

// The client's own registry and options hold in the function, in what it returns, and in a dry run.
func TestTheClientsEncodingHolds(t *testing.T) {
	t.Parallel()
	registry := bson.NewRegistry()
	registry.RegisterTypeEncoder(reflect.TypeFor[cents](), bson.ValueEncoderFunc(func(_ bson.EncodeContext, w bson.ValueWriter, v reflect.Value) error {
		return w.WriteString(strings.Repeat("c", int(v.Int())))
	}))
	registry.RegisterTypeDecoder(reflect.TypeFor[cents](), bson.ValueDecoderFunc(func(_ bson.DecodeContext, r bson.ValueReader, v reflect.Value) error {
		text, err := r.ReadString()
		v.SetInt(int64(len(text)))
		return err
	}))
	registry.RegisterTypeEncoder(reflect.TypeFor[float64](), bson.ValueEncoderFunc(func(_ bson.EncodeContext, w bson.ValueWriter, v reflect.Value) error {
		return w.WriteString(fmt.Sprint(v.Float()))
	}))
	db := rikkitest.DB(t)
	app := rikki.New(&rikki.Config{HistoryDatabase: db.Name() + "_history", Conn: conn.Config{
		URI: rikkitest.URI(t), Database: db.Name(), ClientOptions: func(o *options.ClientOptions) {
			o.SetRegistry(registry).SetBSONOptions(&options.BSONOptions{UseJSONStructTags: true, NilSliceAsEmpty: true, ObjectIDAsHexString: true})
		},
	}}).MustAdd(backfill.New[account](&tagged{}))
	defer func() {
		if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	set, simple, whole := bson.ObjectID{11: 0x01}, bson.ObjectID{11: 0x02}, bson.ObjectID{11: 0x10}
	for _, id := range []bson.ObjectID{set, simple, whole} {
		insert(t, db.Collection("accounts"), bson.D{{Key: "_id", Value: id}, {Key: "owned_by", Value: "mira"}, {Key: "due", Value: "cc"}})
	}
	dry, err := app.Run(t.Context(), "tagged", &rikki.RunOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if f := dry.Value.(*backfill.Forecast); f.Changed != 3 || f.Written != 1 || len(f.Failed) != 0 {
		t.Errorf("forecast %+v", f)
	}
	if _, err := app.Run(t.Context(), "tagged", nil); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[bson.ObjectID]string{
		set: `{"_id":{"$oid":"000000000000000000000001"},"owned_by":"mira","due":"ccc","tags":[],` +
			`"was":{"_id":"000000000000000000000001","owned_by":"mira","tags":[],"due":""}}`,
		simple: `{"_id":{"$oid":"000000000000000000000002"},"owned_by":"mira","due":"cc","share":"0.5"}`,
		whole:  `{"_id":{"$oid":"000000000000000000000010"},"owned_by":"mira!","tags":[],"due":"ccc"}`,
	} {
		doc, err := db.Collection("accounts").FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Raw()
		if err != nil || relaxed(t, doc) != want {
			t.Errorf("got %s (%v)\nwant %s", relaxed(t, doc), err, want)
		}
	}
}
