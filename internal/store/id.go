package store

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

const (
	idPrefix = "r_"
	idChars  = 12
	// idRandomBits is what is left of the 60 bits of an id after 42 bits of milliseconds, which last until 2159.
	idRandomBits = 18
	// crockford is base32 without i, l, o and u, in lower case: nothing to misread, and it sorts as the number does.
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
)

// NewID returns an id for a run: "r_" and twelve characters, in the order of time to the millisecond.
//
// Two ids can be equal only when they are made in the same millisecond, and then with a probability of 1 in 262,144. That
// is not an accident that anybody sees: [Store.Start] answers it with [ErrDuplicateID] and writes nothing; take a new id.
// The host's clock decides nothing but how the id sorts; lists are in the order of the server's clock.
func NewID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return newID(time.Now(), binary.BigEndian.Uint32(b[:]))
}

func newID(now time.Time, random uint32) string {
	epoch := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	n := uint64(max(0, now.Sub(epoch).Milliseconds()))<<idRandomBits | uint64(random&(1<<idRandomBits-1))
	var out [idChars]byte
	for i := idChars - 1; i >= 0; i-- {
		out[i] = crockford[n&31]
		n >>= 5
	}
	return idPrefix + string(out[:])
}

// cleanID undoes what people do to ids when they type them: case, a missing "r_", o for 0, i and l for 1.
func cleanID(s string) string {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), idPrefix)
	return idPrefix + strings.NewReplacer("o", "0", "i", "1", "l", "1").Replace(s)
}
