// Package journal keeps what a backfill changed, so that it can be shown and undone. It turns two states of a document
// into an entry, packs the entries of a chunk into documents, and computes from an entry what undoing it takes. It reads
// and writes nothing by itself.
//
// # What an entry keeps
//
// An update keeps the paths that changed, each with its raw value before and after. A path is a list of field names, so a
// name may hold dots and dollars or be empty. Documents are compared field by field, nested ones too; an array is compared
// as a whole. What is absent before or after is kept as absent.
//
// Undoing gives back the document byte for byte, the order of its fields included. Taking paths back can do that exactly if,
// in the document and in every nested document on the way to a change,
//
//   - no field name occurs twice, before or after, and
//   - the fields that exist both before and after stand in the same order.
//
// Then removing what was added, putting old values in place, and inserting each field that was removed right behind the
// field that stood before it yields what was there: after the removals the common fields stand in their old order, and the
// insertions complete it from left to right. Changed values, appended fields, renamed and removed fields are all of this
// kind. A nested document that is not becomes one path, kept as a whole. If the document itself is not, the entry is a
// replacement: the whole document before, and a hash of the one after.
//
// A value after of more than 1 KiB is kept as its SHA-256: undoing only asks whether it is still there.
//
// # Undoing
//
// [Entry.Restore] takes the present document and says what to write. A path is restored only where its value is still the
// one that the run left there. Where it is the old one already, there is nothing to do, so undoing twice is undoing once.
// Anything else is a conflict and stays as it is; other paths of the same document are restored all the same. A field that
// comes back goes behind its old neighbour, or to the end if somebody has removed that one.
//
// # Format 1
//
// A journal document has the caller's fields, and after them
//
//	format   int32    1
//	part     int32    from 0
//	parts    int32    of this chunk
//	entries  int32    in all parts together
//	data     binary   a slice of the chunk's S2 block; the slices of all parts, joined in order, decompress to the entries
//
// An entry is, with lengths and counts as unsigned varints,
//
//	tag         op | 0x08 namespace follows | 0x10 whole documents | 0x20 id only
//	[namespace] length, bytes
//	id          BSON type, BSON value
//	update      count of changes, changes
//	replace     document before, SHA-256 of the document after
//	insert      SHA-256 of the document after
//	            (in both: 32 zero bytes where the document after isn't known)
//	delete      document before
//
// With 0x10 an update or a replacement holds the documents before and after, an insert the document after. With 0x20
// nothing follows. A change is
//
//	path     count of names, each with length and bytes
//	flags    0x01 before follows | 0x02 after follows | 0x04 after is a SHA-256 | 0x08 neighbour follows
//	[neighbour]  of a removed field: length and bytes of the name that stood before it
//	[before]     BSON type, BSON value
//	[after]      BSON type, BSON value, or SHA-256 of both
package journal
