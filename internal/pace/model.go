package pace

import "math"

// model is what a chunk takes: a fixed part, whatever is in it, and a cost for each document. A chunk has some round trips and a commit,
// so the fixed part can be the larger one by far; taken for the documents' it would make chunks smaller and smaller, to no avail.
//
// It is a Kalman filter of these two numbers. Chunks of one size tell only the sum of both parts, so it keeps how wrong each of them
// may be, and how the errors of the two go together.
type model struct {
	known       bool    // there was a sample
	fixed, cost float64 // seconds, and seconds per document
	ff, fc, cc  float64 // the covariances of their errors
	noise       float64 // of what chunks take, as a share of it: squared
}

const (
	driftFixed, driftCost = 0.02, 0.04 // how much both may change from chunk to chunk, as a share
	leastDrift            = 0.0002     // of the fixed part, in seconds
	firstNoise            = 0.15
	leastNoise, mostNoise = 0.05, 0.4
	learnNoise            = 0.05
	surprise              = 3 // times the expected error: something has changed
	leastTime             = 1e-9
	leastCost             = 1e-9
)

// learn takes what a chunk of so many documents took, in seconds.
func (m *model) learn(docs, took float64) {
	took = max(took, leastTime)
	if !m.known {
		// All of it is taken to be the documents', and half of it may not be.
		half := took / 2
		*m = model{known: true, cost: took / docs, noise: firstNoise * firstNoise, ff: half * half, fc: -half * half / docs, cc: half * half / docs / docs}
		return
	}
	m.drift()
	expected := m.fixed + docs*m.cost
	off := took - expected
	random := m.noise * expected * expected
	m.doubt(docs, off*off, random)
	pf, pc := m.ff+docs*m.fc, m.fc+docs*m.cc
	spread := pf + docs*pc + random
	kf, kc := pf/spread, pc/spread
	m.fixed = min(max(m.fixed+kf*off, 0), took)
	m.cost = max(m.cost+kc*off, leastCost)
	m.ff, m.fc, m.cc = m.ff-kf*pf, m.fc-kf*pc, m.cc-kc*pc
	m.noise += learnNoise * (min(off*off/(expected*expected), 1) - m.noise)
	m.noise = min(max(m.noise, leastNoise*leastNoise), mostNoise*mostNoise)
}

// drift makes what was learnt less sure.
func (m *model) drift() {
	f, c := driftFixed*m.fixed+leastDrift, driftCost*m.cost
	m.ff += f * f
	m.cc += c * c
}

// doubt gives up what was learnt as far as a chunk contradicts it.
func (m *model) doubt(docs, off, random float64) {
	spread := m.ff + 2*docs*m.fc + docs*docs*m.cc
	if bound := off / (surprise * surprise); bound > spread+random && spread > 0 {
		grow := (bound - random) / spread
		m.ff, m.fc, m.cc = m.ff*grow, m.fc*grow, m.cc*grow
	}
}

// dear is what a document costs at least, as far as is known: sizes go by that. One that is too large tells more than one that is too
// small.
func (m *model) dear() float64 {
	const errors, least = 0.5, 0.25
	return max(m.cost-errors*math.Sqrt(max(m.cc, 0)), least*m.cost)
}

// mixed says that so many documents are not nearly all that their chunk takes, so that chunks of one size don't tell what they cost. The
// link, which is known, counts too: no two round trips take the same.
func (m *model) mixed(docs int, link float64) bool {
	const part = 10
	fixed := m.fixed + link
	return m.known && part*fixed > fixed+float64(docs)*m.cost
}
