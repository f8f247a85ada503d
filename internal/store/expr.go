package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The pieces of pipelines that more than one operation uses. Names in them are field paths, never values from outside:
// those are always wrapped by literal.

const now = "$$NOW"

// literal keeps the server from reading v as an expression: "$5" and {"$ne": 1} are data.
func literal(v any) bson.D { return bson.D{{Key: "$literal", Value: v}} }

func op(name string, args ...any) bson.D { return bson.D{{Key: name, Value: bson.A(args)}} }

// cond is v where c holds, and otherwise what the field holds already, be it nothing.
func cond(c any, v any, field string) bson.D { return op("$cond", c, v, "$"+field) }

// expiresIn is the server's time in so many milliseconds.
func expiresIn(ms int64) bson.D { return op("$add", now, ms) }

// expired holds when the lease has run out, or was never there: nothing sorts below any time. One that lasts longer than any lease
// can was taken from a server whose clock is ahead of this one's; waiting for it could take hours.
func expired() bson.D {
	const unknown = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	longest := op("$multiply", 2, op("$ifNull", "$lease.ttl", unknown))
	return op("$or", op("$lt", "$lease.expires", now), op("$gt", "$lease.expires", op("$add", now, longest)))
}

func isActive() bson.D { return op("$in", "$state", activeStates()) }

// lapsed holds for a run that says it is active though nobody keeps it.
func lapsed() bson.D { return op("$and", isActive(), expired()) }

// kept holds for a run with a living owner: it has its place, and a lease that lasts. A stuck script is, too.
func kept() bson.D {
	return op("$and", op("$ne", op("$type", "$slot"), "missing"), op("$not", expired()))
}

// halfWay holds for a run that has failed and can go on where it stopped.
func halfWay() bson.D { return op("$and", stateIs(Failed), op("$eq", "$half_way", true)) }

func stateIs(s State) bson.D { return op("$eq", "$state", s) }

// lapsedState is what a run becomes whose owner is gone: what it had been asked for, or else interrupted.
func lapsedState() bson.D { return settled(Interrupted) }

// settled is the state of a run that comes to rest as to, while it may have been asked for something else meanwhile.
func settled(to State) bson.D {
	branch := func(from, rest State) bson.D {
		return bson.D{{Key: "case", Value: stateIs(from)}, {Key: "then", Value: rest}}
	}
	branches := bson.A{branch(Cancelling, Cancelled)}
	if to == Interrupted {
		branches = append(branches, branch(Pausing, Paused))
	}
	return bson.D{{Key: "$switch", Value: bson.D{{Key: "branches", Value: branches}, {Key: "default", Value: to}}}}
}

// resumes holds for a run that the processes that serve the queue may go on with by themselves: its script can, or has not
// begun.
func resumes() bson.D {
	return op("$and", op("$eq", "$queue", true), op("$or", op("$eq", "$resumable", true), op("$eq", "$unbegun", true)))
}

// repeatable is the clause for runs that can be begun, or gone on with, without doing anything twice.
func repeatable() bson.E {
	return bson.E{Key: "$or", Value: bson.A{
		bson.D{{Key: "attempt", Value: 0}}, // nobody has taken it
		bson.D{{Key: "unbegun", Value: true}},
		bson.D{{Key: "resumable", Value: true}},
	}}
}

// maxLapses is how many owners may die over a run, without one checkpoint in between, before it is no longer taken over by
// itself: it may be what kills them.
const maxLapses = 5

// lapses is how many owners the run has had, if it loses this one.
func lapses() bson.D { return op("$add", op("$ifNull", "$lapses", 0), 1) }

// lastSeen is the server's time of the owner's last sign of life.
func lastSeen() bson.D { return op("$ifNull", "$lease.renewed", "$started_at", now) }

// freeExpired is the stage that takes the slot from a run whose lease has expired, and leaves any other document as it
// is. A running run becomes interrupted, and one that was asked to pause or to cancel gets what was asked for; one that was
// stuck keeps its final state. The epoch grows, so that the owner, if it still lives
// somewhere, finds its lease lost.
func freeExpired() bson.D {
	stuck := op("$and", expired(), op("$eq", "$stuck", true))
	died := op("$and", lapsed(), stateIs(Running))
	ready := op("$and", died, resumes(), op("$lt", lapses(), maxLapses))
	return bson.D{{Key: "$set", Value: bson.D{
		{Key: "state", Value: cond(lapsed(), lapsedState(), "state")},
		{Key: "lapses", Value: cond(died, lapses(), "lapses")},
		{Key: "ready", Value: cond(ready, true, "ready")},
		{Key: "due_at", Value: cond(ready, op("$min", "$due_at", now), "due_at")}, // it was due, whatever the clock said then
		{Key: "ended_at", Value: cond(lapsed(), lastSeen(), "ended_at")},
		{Key: "news_at", Value: cond(lapsed(), now, "news_at")},
		{Key: "stopped_at", Value: cond(stuck, lastSeen(), "stopped_at")},
		{Key: "lease.epoch", Value: cond(expired(), op("$add", op("$ifNull", "$lease.epoch", 0), 1), "lease.epoch")},
		{Key: "slot", Value: cond(expired(), "$$REMOVE", "slot")},
	}}}
}
