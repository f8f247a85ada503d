package occurrence

import (
	"hash/fnv"
	"math/bits"
	"strconv"
	"time"
)

// Due is when a slot's work starts: the slot plus its share of the jitter, the same in every process and at every asking,
// in whole milliseconds. It never reaches the next slot, so that slots become due in their order.
func (p *Plan) Due(slot time.Time) time.Time {
	window := p.def.Jitter
	if window <= 0 {
		return slot
	}
	if next, ok := p.Next(slot); ok {
		window = min(window, next.Sub(slot))
	}
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendInt([]byte(p.def.Key+"\x00"), slot.UnixMilli(), 10)) // a hash never fails
	// The high half of the product is the hash scaled to the window, without a remainder's bias. FNV's high bits differ
	// little between inputs that differ in their last byte, so they are mixed first.
	share, _ := bits.Mul64(mix(h.Sum64()), uint64(window/time.Millisecond))
	return slot.Add(time.Duration(share) * time.Millisecond) //nolint:gosec // below window
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
