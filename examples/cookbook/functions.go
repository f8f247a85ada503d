package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/params"
)

// Named is a person with a name in one piece.
type Named struct {
	Name string `bson:"name"`
}

// SplitName makes two fields of one. A name of one word is a failure: somebody has to look at it.
type SplitName struct{}

// Backfill says what to walk.
func (*SplitName) Backfill() backfill.Options {
	return backfill.Options{Script: about("Makes two fields of one."), Collection: "people", Filter: bson.D{{Key: "name", Value: bson.D{{Key: "$exists", Value: true}}}}}
}

// Change says what becomes of each document.
func (*SplitName) Change(_ context.Context, p Named) (backfill.Change, error) {
	first, last, found := strings.Cut(p.Name, " ")
	if !found {
		return backfill.None(), fmt.Errorf("%q is one word", p.Name)
	}
	return backfill.Set("first", first).Set("last", last).Unset("name"), nil
}

// Ticket has a state that was written in many ways.
type Ticket struct {
	State string `bson:"state"`
}

// FixEnum brings the values of a field down to those that there shall be.
type FixEnum struct{}

// Backfill says what to walk.
func (*FixEnum) Backfill() backfill.Options {
	return backfill.Options{Script: about("Brings the values of a field down to those that there shall be."), Collection: "tickets", Fields: []string{"state"}}
}

// Change says what becomes of each document.
func (*FixEnum) Change(_ context.Context, t Ticket) (backfill.Change, error) {
	switch strings.ToLower(strings.TrimSpace(t.State)) {
	case "open", "new", "reopened":
		return backfill.Set("state", "open"), nil
	case "closed", "done", "wontfix":
		return backfill.Set("state", "closed"), nil
	default:
		return backfill.None(), fmt.Errorf("nobody knows the state %q", t.State)
	}
}

// Done tells whether a document is right: all of them are looked at again at the end.
func (*FixEnum) Done(t Ticket) bool { return t.State == "open" || t.State == "closed" }

// Customer has a phone number in plain text.
type Customer struct {
	ID    bson.RawValue `bson:"_id"`
	Phone string        `bson:"phone"`
}

// EncryptPhone encrypts a field with AES-GCM, bound to its document: moved to another one it can't be decrypted. The key is a secret: it comes from the environment or a file, and is kept nowhere. So
// that the plain text isn't either, the undo journal is off.
type EncryptPhone struct {
	Key params.Secret `required:"true" help:"The key, 64 hexadecimal digits."`
}

// Backfill says what to walk.
func (*EncryptPhone) Backfill() backfill.Options {
	return backfill.Options{
		Script:     about("Encrypts a field with AES-GCM."),
		Collection: "customers", Journal: backfill.JournalOff, Fields: []string{"phone"},
		Filter: bson.D{{Key: "phone", Value: bson.D{{Key: "$not", Value: bson.Regex{Pattern: "^enc:"}}, {Key: "$exists", Value: true}}}},
	}
}

// Change says what becomes of each document.
func (e *EncryptPhone) Change(_ context.Context, c Customer) (backfill.Change, error) {
	gcm, err := e.cipher()
	if err != nil {
		return backfill.None(), err
	}
	sealed := gcm.Seal(nil, nil, []byte(c.Phone), owner(c.ID)) //nolint:gosec // it draws the nonce by itself
	return backfill.Set("phone", "enc:"+base64.StdEncoding.EncodeToString(sealed)), nil
}

func (e *EncryptPhone) cipher() (cipher.AEAD, error) {
	key, err := hex.DecodeString(e.Key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// owner is what a cipher text is bound to: the _id, with its type. Who decrypts it has to give the same.
func owner(id bson.RawValue) []byte { return append([]byte{byte(id.Type)}, id.Value...) }

// Session is one that somebody may have left.
type Session struct {
	ID any `bson:"_id"`
}

// PurgeSessions deletes what nobody has used for long. The journal keeps what was deleted, until retention prunes it.
type PurgeSessions struct {
	Before time.Time `default:"-90d" help:"Delete sessions that were last used before."`
}

// Backfill says what to walk.
func (p *PurgeSessions) Backfill() backfill.Options {
	return backfill.Options{Script: about("Deletes what nobody has used for long."), Collection: "sessions", Filter: bson.D{{Key: "lastUsed", Value: bson.D{{Key: "$lt", Value: p.Before}}}}}
}

// Change says what becomes of each document.
func (*PurgeSessions) Change(context.Context, Session) (backfill.Change, error) {
	return backfill.Delete(), nil
}

// Contact is somebody whom the collection may have more than once.
type Contact struct {
	ID    bson.ObjectID `bson:"_id"`
	Email string        `bson:"email"`
}

// DropDuplicates keeps the oldest document of each email address and moves the others into another collection. It looks for older ones
// in the transaction of the chunk; an index on email makes that fast.
type DropDuplicates struct{}

// Backfill says what to walk.
func (*DropDuplicates) Backfill() backfill.Options {
	return backfill.Options{Script: about("Keeps the oldest document of each email address and moves the others into another collection."), Collection: "contacts"}
}

// Change says what becomes of each document.
func (*DropDuplicates) Change(ctx context.Context, c Contact) (backfill.Change, error) {
	older := bson.D{{Key: "email", Value: c.Email}, {Key: "_id", Value: bson.D{{Key: "$lt", Value: c.ID}}}}
	n, err := backfill.DB(ctx).Collection("contacts").CountDocuments(ctx, older, options.Count().SetLimit(1))
	if err != nil || n == 0 {
		return backfill.None(), err
	}
	return backfill.Delete().Also("contacts_dropped", c.ID, c), nil
}
