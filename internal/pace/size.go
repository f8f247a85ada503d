package pace

import "time"

const (
	// firstPatience is how many chunks in a row must go well at the ceiling before it rises for the first time.
	firstPatience = 16
	maxPatience   = 256
)

// sizer finds the number of documents that take as long as they should.
type sizer struct {
	size int
	step int // counts the changes of size
	model
	granted int // chunks, since one was smaller to learn from it

	ceiling  int // of the size, after a failure; 0 is none
	failed   int // the size that failed
	patience int // for the next rise of the ceiling
	memory   int // patience after the next failure
	calm     int // chunks in a row that went well at the ceiling
}

func newSizer() *sizer { return &sizer{size: StartChunk, memory: firstPatience} }

// now is the present size. A size that somebody set replaces what was found, but not a ceiling.
func (z *sizer) now(fixed int) int {
	if fixed > 0 {
		z.move(fixed)
	}
	return z.size
}

// Chunks of one size don't tell how much of their time is fixed. Where that matters, one of lessonEvery is smaller.
const (
	lessonEvery = 12
	lessonPart  = 3
)

// next is how many documents the next chunk gets, of whose time so many seconds are the link's.
func (z *sizer) next(fixed int, link float64) int {
	size := z.now(fixed)
	if fixed > 0 || size < lessonPart || !z.mixed(size, link) {
		return size
	}
	if z.granted++; z.granted%lessonEvery == 0 {
		return size / lessonPart
	}
	return size
}

func (z *sizer) move(size int) {
	size = min(max(size, MinChunk), MaxChunk)
	if z.ceiling > 0 {
		size = min(size, z.ceiling)
	}
	if size != z.size {
		z.size = size
		z.step++
	}
}

// leastChunk is how many documents a chunk has at least, unless they take far longer than they should: its commands and its commit
// cost about as much as these. Smaller ones would make it all dearer for everybody.
const leastChunk = 50

// goal is what the documents of a chunk should take, and what leastChunk of them may take.
type goal struct{ target, most time.Duration }

// docs is how many documents that are at a cost.
func (g goal) docs(cost float64) float64 {
	return max(g.target.Seconds()/cost, min(leastChunk, g.most.Seconds()/cost))
}

// aim goes to the size for another goal at once, as far as it is known what a document costs.
func (z *sizer) aim(g goal) {
	if z.known {
		z.move(int(g.docs(z.cost)))
	}
}

// done takes what a chunk took: docs of the asked, at the step of its size.
func (z *sizer) done(docs, asked, step int, took time.Duration, g goal) {
	if docs <= 0 || took < 0 {
		return
	}
	small := 2*docs < asked
	if small && took <= g.target {
		return
	}
	if !small {
		z.rise(docs)
	}
	z.learn(float64(docs), took.Seconds())
	if step != z.step || asked < z.size {
		return // it had another size
	}
	want := g.docs(z.dear())
	z.move(int(min(max(want, float64(z.size)/2), float64(z.size)*2)))
}

// rise lifts the ceiling when enough chunks went well below it.
func (z *sizer) rise(docs int) {
	if z.ceiling == 0 || 10*docs < 9*z.ceiling {
		return
	}
	if z.calm++; z.calm < z.patience {
		return
	}
	z.calm, z.patience = 0, max(z.patience/2, 1)
	z.ceiling += z.ceiling/2 + 1
	if z.ceiling > 2*z.failed || z.ceiling > MaxChunk {
		z.ceiling, z.memory = 0, firstPatience
	}
}

// fail halves the size after a chunk of docs that was too much. It is false if there is nothing to halve.
func (z *sizer) fail(docs int) bool {
	if docs < 1 {
		docs = z.size
	}
	if half := max(docs/2, MinChunk); half < z.size {
		z.size = half
		z.step++
	}
	// Others fail with the same size: that is the same failure.
	if z.ceiling == 0 || docs <= z.ceiling {
		z.patience, z.calm = z.memory, 0
		z.memory = min(2*z.memory, maxPatience)
		z.failed, z.ceiling = docs, max(docs/2, MinChunk)
	}
	return docs > MinChunk
}
