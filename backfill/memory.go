package backfill

// memory is what a worker puts its chunks together in, one after another, so that a chunk takes hardly any new memory.
type memory struct {
	statements *statements // for the run's own collection
	fields     fieldChange
	after      []byte // a document as it will be
	requests   []byte // values of what a function has asked for
	undo       undoMemory
}

// chunkBytes is how much of the documents a chunk has at most, about. All workers hold so much at the same time, some of it more
// than once.
const chunkBytes = 2 << 20

// maxKept is how large a buffer may be that is kept for the next chunk.
const maxKept = 2 * chunkBytes

func newMemory(e *engine) *memory {
	return &memory{statements: newStatements(e, e.coll)}
}

// reset makes it ready for another chunk, without what an unusually large one took.
func (m *memory) reset() {
	m.statements.reset()
	m.after = keep(m.after)
	m.fields.set, m.fields.unset = nil, nil
}

func keep(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}
