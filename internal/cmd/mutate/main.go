// Command mutate takes the safeguards out of the code, one at a time, and runs the tests that must notice:
//
//	go run ./internal/cmd/mutate              # all of them
//	go run ./internal/cmd/mutate -run '^pace:' # those whose names match
//
// A safeguard whose absence no test notices is a promise that nothing proves. The code on disk is left as it is: the changed
// file is laid over it for the one build.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// mutation is one safeguard, and the tests of which at least one must fail without it.
type mutation struct {
	name     string
	file     string
	old, new string
	pkg, run string
}

func mutations() []mutation {
	return []mutation{
		{
			name: "fence: the epoch in the filter of a chunk's first write", file: "internal/store/partitions.go",
			old: `{Key: "epoch", Value: w.epoch}, {Key: "chunk", Value: s.Chunk}}`, new: `{Key: "chunk", Value: s.Chunk}}`,
			pkg: "./internal/store", run: "TestAdvanceOnlyOnceAndOnlyByTheOwner",
		},
		{
			name: "state filter: the number of the chunk in it", file: "internal/store/partitions.go",
			old: `{Key: "epoch", Value: w.epoch}, {Key: "chunk", Value: s.Chunk}}`, new: `{Key: "epoch", Value: w.epoch}}`,
			pkg: "./internal/store", run: "TestAdvanceOnlyOnceAndOnlyByTheOwner",
		},
		{
			name: "checkpoint in the chunk's transaction", file: "backfill/worker.go",
			old: "c.e.walk.Advance(ctx, c.step)\n\tpoint", new: "c.e.walk.Advance(mongo.NewSessionContext(ctx, nil), c.step)\n\tpoint",
			pkg: "./backfill", run: "TestFailingDocumentsArePassedByAndRecorded|TestAWorkerThatLostTheRunWritesNothing",
		},
		{
			name: "first write: no match ends the transaction", file: "internal/store/partitions.go",
			old: "if res.MatchedCount == 0 {", new: "if res.MatchedCount < 0 {",
			pkg: "./internal/store", run: "TestAdvanceOnlyOnceAndOnlyByTheOwner",
		},
		{
			name: "failures: no more of a message is held than is recorded", file: "backfill/isolate.go",
			old: "return store.ClipMessage(text, store.MessageLimit)", new: "_ = store.MessageLimit\n\treturn text",
			pkg: "./backfill", run: "TestFailuresOfGreatLength/MessagesOfAMegabyte",
		},
		{
			name: "failures: chunks are small where many documents are refused", file: "backfill/isolate.go",
			old: "if len(c.poison)%manyPoisoned == 0 && c.size > cautious {", new: "if c.size < 0 {",
			pkg: "./backfill", run: "TestManyRefusalsCostLittle/function",
		},
		{
			name: "every type of key", file: "backfill/keyspace.go",
			old: "b != 0 && b == bracket(upper)", new: "b >= 0",
			pkg: "./backfill", run: "TestMixedKeysAreAllVisitedOnce",
		},
		{
			name: "selection: a filter of chance is not asked again by the change", file: "backfill/selection.go",
			old: "!slices.Contains(plainOperators(), e.Key())", new: "len(plainOperators()) == 0",
			pkg: "./backfill", run: "TestAFilterOfChanceIsEvaluatedOnce/sampleRate",
		},
		{
			name: "selection: the change finds what the filter found in an array", file: "backfill/pipeline_singly.go",
			old: "if w.again {", new: "if false {",
			pkg: "./backfill", run: "TestAPositionalUpdateBesideARefusedDocument",
		},
		{
			name: "target: reads and writes say which collection they are for", file: "backfill/aim.go",
			old: "e.pinned = err == nil", new: "e.pinned = false && err == nil\n\te.target.Collection.Data = nil",
			pkg: "./backfill", run: "TestARunNoticesThatItsCollectionIsAnotherOne/replaced/function",
		},
		{
			name: "target: the index of the key is compared in each chunk", file: "backfill/aim.go",
			old: "return e.stillIndexed(ctx)\n}", new: "return nil\n}",
			pkg: "./backfill", run: "TestAnotherIndexBetweenTwoChunks",
		},
		{
			name: "index: a partial one is none to walk by", file: "backfill/aim.go",
			old: "case partial != nil:", new: "case partial != nil && e.alone:",
			pkg: "./backfill", run: "TestIndexesToWalkBy/partial",
		},
		{
			name: "stages: an item is that of a document of its chunk, and the only one", file: "backfill/stages.go",
			old: "delete(of, idKey(cur.Current))", new: "_ = of",
			pkg: "./backfill", run: "TestStagesThatChangeTheOrder/unwind",
		},
		{
			name: "sources: a key is not the same as the one before", file: "backfill/repetition.go",
			old: "!r.before.IsZero() && valueKey(key) == valueKey(r.before)", new: "false",
			pkg: "./backfill", run: "TestASourceThatRepeatsItselfEnds",
		},
		{
			name: "picked: the keys of another collection's failures are none of this one", file: "backfill/picked.go",
			old: "case then.Namespace != now.Namespace:", new: "case false:",
			pkg: "./backfill", run: "TestDocumentsArePickedByWhatTheyAreKnownBy",
		},
		{
			name: "verification: the very documents that failed are taken off", file: "backfill/verify.go",
			old: "return int64(len(left) - len(known)), err", new: "return max(0, int64(len(left)-len(known))-e.counts.Failed), err",
			pkg: "./backfill", run: "TestVerificationGoesByTheDocumentsThatFailed",
		},
		{
			name: "undo: the partitions are taken away from a process that lives on", file: "backfill/undo_past.go",
			old: "if _, err := takeOver(ctx, r.e.client, r.e.store.Walk(r.past.run.ID, epoch), epoch, r.e.log); err != nil {",
			new: "if err := ctx.Err(); err != nil || epoch < 0 {",
			pkg: "./backfill", run: "TestUndoOfARunWhoseProcessLivesOn",
		},
		{
			name: "undo: what an earlier undo has done is not looked at again", file: "backfill/undo_prior.go",
			old: "if took[i] = p.passed(step); took[i] && p.left > 0 {", new: "if took[i] = p == nil; took[i] && p.left > 0 {",
			pkg: "./backfill", run: "TestUndoAfterACancelledOne",
		},
		{
			name: "extended JSON: whole numbers beyond 64 bits are refused", file: "internal/extjson/extjson.go",
			old: "if _, err := strconv.ParseInt(number, 10, 64); err != nil {", new: "if number == \"\" {",
			pkg: "./backfill", run: "TestAnUpdateThatIsNoneIsRefused",
		},
		{
			name: "extended JSON: names that an object has twice are seen in the fast way, too", file: "internal/extjson/extjson.go",
			old: "len(doc) == 0 || twice(doc)", new: "len(doc) == 0",
			pkg: "./backfill", run: "TestLinesOfNDJSONLoseNothing",
		},
		{
			name: "YAML: a float stays one", file: "internal/yamlfile/extended.go",
			old: `if !strings.ContainsAny(text, ".e") {`, new: `if text == "" {`,
			pkg: "./internal/yamlfile", run: "TestValuesOfYAMLKeepOrderAndType",
		},
		{
			name: "YAML: what looks like a date and is none is refused", file: "internal/yamlfile/extended.go",
			old: "case likeDate.MatchString(word):", new: `case word == "":`,
			pkg: "./internal/yamlfile", run: "TestValuesThatCouldMeanTwoThingsAreRefused",
		},
		{
			name: "CSV: a wrong quote that takes other rows with it ends the run", file: "backfill/rows_csv.go",
			old: "if last > at {", new: "if last < at {",
			pkg: "./backfill", run: "TestAHeaderThatDoesNotFitTheTypeIsRefused",
		},
		{
			name: "CSV: a header that lacks a column of the type is refused", file: "backfill/sources_file.go",
			old: "return fitsType(header, w.sees)", new: "_ = fitsType(header, w.sees)\n\t\t\treturn nil",
			pkg: "./backfill", run: "TestAHeaderThatDoesNotFitTheTypeIsRefused",
		},
		{
			name: "rows: a source that gives fewer than it had is an error", file: "backfill/sources.go",
			old: "r.seen >= 0 && r.seen < r.planned:", new: "r.seen < 0 && r.seen > r.planned:",
			pkg: "./backfill", run: "TestASourceThatGivesFewerRowsThanItHadIsAnError",
		},
		{
			name: "rows: an upsert by a field wants a unique index on it", file: "backfill/find_by.go",
			old: "case !unique && r.mode == changeUpsert:", new: "case !unique && r.mode < 0:",
			pkg: "./backfill", run: "TestRowsOfAFileChangeDocumentsByAField/NoUniqueIndex",
		},
		{
			name: "rows: two with the same new value make one document", file: "backfill/adhoc_changes.go",
			old: "found[valueKey(by)] = []bson.RawValue{id} // another row may name it", new: "_ = found",
			pkg: "./backfill", run: "TestRowsOfAFileChangeDocumentsByAField/TheSameNewValueTwiceMakesOneDocument",
		},
		{
			name: "rows: a value that several documents have changes none", file: "backfill/adhoc_changes.go",
			old: "case len(ids) > 1:", new: "case len(ids) > 2:",
			pkg: "./backfill", run: "TestRowsOfAFileChangeDocumentsByAField/SeveralDocumentsFailTheRow",
		},
		{
			name: "pipeline: documents that the server wrote as they were aren't counted as changed", file: "backfill/pipeline_singly.go",
			old: "if !bytes.Equal(doc, now) {", new: "if len(doc) > 0 || bytes.Equal(doc, now) {",
			pkg: "./backfill", run: "TestADocumentThatStaysAsItIsIsUnchanged",
		},
		{
			name: "writes: an update behind a deletion of its document waits for it", file: "backfill/writes.go",
			old: "if !t.distinct && t.written.update(id) {", new: "if !t.distinct && t.written.update(id) && t.coll == nil {",
			pkg: "./backfill", run: "TestRowsOfAFileKeepTheirOrder",
		},
		{
			name: "writes: a chunk is done in its order where a unique index holds", file: "backfill/writes.go",
			old: "if !t.statements.overtook || !mongo.IsDuplicateKeyError(err) {", new: "if !t.statements.overtook || !mongo.IsTimeout(err) {",
			pkg: "./backfill", run: "TestTheResultDoesNotDependOnTheChunk/Unique",
		},
		{
			name: "writes: a document that was written in the chunk isn't as it was read", file: "backfill/writes.go",
			old: "if w.own.wasWritten(id) {", new: "if w.own.wasWritten(id) && id.IsZero() {",
			pkg: "./backfill", run: "TestADocumentThatAnotherItemWroteIsWrittenAgain",
		},
		{
			name: "writes: the server's timestamps are read", file: "backfill/writes.go",
			old: "im.after, im.sure = doc, !r.stamped && (im.known || im.creates)", new: "im.after, im.sure = doc, im.known || im.creates",
			pkg: "./backfill", run: "TestAnEmptyTimestampIsFilledInTheJournalToo",
		},
		{
			name: "images: numbers as names are sorted in another way", file: "backfill/fields.go",
			old: "&& path[0] > '9'", new: "&& path[0] >= '0'",
			pkg: "./backfill", run: "TestComputedImagesAreWhatTheServerHas",
		},
		{
			name: "functions: the image is not what the author may write to", file: "backfill/function.go",
			old: "*raw = bytes.Clone(item)", new: `*raw = item[:len(bytes.TrimRight(item, ""))]`,
			pkg: "./backfill", run: "TestAFunctionGetsMemoryOfItsOwn",
		},
		{
			name: "changes: two kinds in one are refused", file: "backfill/change.go",
			old: "if c.kind != changeNone && c.kind != changeFields {", new: "if c.kind < changeNone {",
			pkg: "./backfill", run: "TestNothingOfAChangeIsDropped",
		},
		{
			name: "fields: deletions are guarded", file: "backfill/fields.go",
			old: "if w.Deleted() > 0 {", new: "if w.Deleted() < 0 {",
			pkg: "./backfill", run: "TestFieldsGuardDeletionsAndInsertions",
		},
		{
			name: "fields: other collections are others", file: "internal/journal/writer.go",
			old: "\tif namespace == \"\" {\n\t\tw.touchAll(", new: "\tif namespace != \"-\" {\n\t\tw.touchAll(",
			pkg: "./backfill", run: "TestFieldsGuardDeletionsAndInsertions",
		},
		{
			name: "without transactions: the journal comes first", file: "backfill/writes.go",
			old: "\tif err := w.c.announce(ctx); err != nil {", new: "\tif err := ctx.Err(); err != nil {",
			pkg: "./backfill", run: "TestWithoutTransactionsNoUndoIsLost/Delete",
		},
		{
			name: "failures: keys are told apart by their bytes", file: "backfill/poison.go",
			old: "why, ok := c.poison[exactKey(key)]", new: "why, ok := c.poison[exactKey(key)]\n\tfor known, reason := range c.poison {\n\t\tif known[0] == byte(key.Type) {\n\t\t\twhy, ok = reason, true\n\t\t}\n\t}",
			pkg: "./backfill", run: "TestKeysThatPrintAlikeAreToldApart",
		},
		{
			name: "other collections: a name that would miss one is refused", file: "backfill/collections.go",
			old: "if err := e.ambiguous(ctx, db, coll); err != nil {", new: "if err := ctx.Err(); err != nil {",
			pkg: "./backfill", run: "TestOtherCollectionsByTheirNames/Ambiguous",
		},
		{
			name: "keys: $rename writes the field that it names", file: "backfill/change.go",
			old: `ok && op.Key() == "$rename"`, new: `ok && op.Key() == "$none"`,
			pkg: "./backfill", run: "TestTheIDCannotBeWritten/Rename",
		},
		{
			name: "ad hoc: fields that may change contradict a deletion", file: "backfill/adhoc.go",
			old: "case a.Delete && len(a.Fields) > 0:", new: "case a.Delete && len(a.Fields) < 0:",
			pkg: "./backfill", run: "TestFieldsContradictADeletion",
		},
		{
			name: "undo: it notices that changes were lost from its journal", file: "backfill/undo_past.go",
			old: "if matched >= p.found.Entries {", new: "if matched >= 0 {",
			pkg: "./backfill", run: "TestAnUndoNoticesThatItsJournalIsGone",
		},
		{
			name: "undo: a collection is known by its UUID", file: "backfill/undo_places.go",
			old: "if len(uuid.Data) > 0 && !bytes.Equal(uuid.Data, found.uuid.Data) {", new: "if len(uuid.Data) < 0 && !bytes.Equal(uuid.Data, found.uuid.Data) {",
			pkg: "./backfill", run: "TestAnUndoLooksWhereItWrites/MadeAgain",
		},
		{
			name: "undo: the changes of a chunk are bounded by their size", file: "backfill/undo_read.go",
			old: "size += m.held.chunk.Size(at.Left)", new: "size += 0 * m.held.chunk.Size(at.Left)",
			pkg: "./backfill", run: "TestMemoryOfAnUndoIsBounded/ManyFields",
		},
		{
			name: "undo: the documents of a chunk are bounded by their size", file: "backfill/undo_work.go",
			old: "if bytes += len(cur.Current); bytes > 4*max(c.bytes, maxLoad)", new: "if bytes += len(cur.Current); bytes < 0",
			pkg: "./backfill", run: "TestMemoryOfAnUndoIsBounded/LargeDocuments",
		},
		{
			name: "undo: a right that is missing is told of before it begins", file: "backfill/undo_past.go",
			old: "r.e.log.Warn(warning)", new: "_ = warning",
			pkg: "./backfill", run: "TestAnUndoWithoutTheRightToPassAValidator",
		},
		{
			name: "undo: none begins while an undo of an undo is at work", file: "backfill/undo_prior.go",
			old: "undos, look = append(undos, child), append(look, child.ID)", new: "undos = append(undos, child)",
			pkg: "./backfill", run: "TestARedoAndAnUndoGiveWayToEachOther",
		},
		{
			name: "undo: no undo is undone while another one of its run is at work", file: "backfill/undo_prior.go",
			old: "\t\trun = found.Parent\n", new: "\t\tbreak\n",
			pkg: "./backfill", run: "TestARedoAndAnUndoGiveWayToEachOther",
		},
		{
			name: "undo: empty timestamps are written by a pipeline", file: "backfill/undo_write.go",
			old: `ok && (strings.HasPrefix(string(e.Name), "$") || isEmptyTimestamp(e)) {`, new: `ok && strings.HasPrefix(string(e.Name), "$") {`,
			pkg: "./backfill", run: "TestAnUndoRestoresWhatTheServerStoresOtherwise",
		},
		{
			name: "prune: whoever comes to need a run since it was looked at keeps it", file: "internal/store/needs.go",
			old: "filter := append(bson.D{{Key: \"_id\", Value: r.ID}, {Key: \"$and\", Value: prunable()}}, asSeen...)",
			new: "_ = asSeen\n\t\tfilter := bson.D{{Key: \"_id\", Value: r.ID}, {Key: \"$and\", Value: prunable()}}",
			pkg: "./internal/store", run: "TestAPruneNoticesWhoComesToNeedARun",
		},
		{
			name: "lease: one that was taken from a clock that is ahead does not last until then", file: "internal/store/expr.go",
			old: `op("$gt", "$lease.expires", op("$add", now, longest))`, new: `op("$gt", "$lease.expires", op("$add", now, longest, longest, longest, 1e12))`,
			pkg: "./internal/store", run: "TestSweepAfterTheClockWentBack",
		},
		{
			name: "change stream: one that the server has ended is not asked again at once", file: "internal/store/watch.go",
			old: "case stream.ID() == 0:", new: "case stream.ID() < 0:",
			pkg: "./internal/store", run: "TestWatchEndsWithItsStream",
		},
		{
			name: "one slot, one run: the unique index", file: "internal/store/indexes.go",
			old: `Keys: bson.D{{Key: "slot", Value: 1}}, Unique: true,`, new: `Keys: bson.D{{Key: "slot", Value: 1}},`,
			pkg: "./internal/store", run: "Test",
		},
		{
			name: "recovery: a failure that was recovered from is forgotten, and no newer one", file: "internal/store/notifications.go",
			old: `{Key: "_id", Value: "failing/" + stream}, {Key: "subject", Value: subject}}`, new: `{Key: "_id", Value: "failing/" + stream}}`,
			pkg: "./internal/store", run: "TestRecoveredForgetsThatFailureAlone",
		},
	}
}

// all are the mutations of every table.
func all() []mutation { return slices.Concat(mutations(), exits(), pace()) }

func main() {
	only := flag.String("run", "", "only the safeguards whose names match this regular expression")
	flag.Parse()
	names, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate: -run:", err)
		os.Exit(2)
	}
	survived := 0
	for _, m := range all() {
		if !names.MatchString(m.name) {
			continue
		}
		began := time.Now()
		noticed, err := m.try()
		switch {
		case err != nil:
			fmt.Printf("error     %s: %v\n", m.name, err)
			survived++
		case noticed:
			fmt.Printf("noticed   %s (%s)\n", m.name, time.Since(began).Round(time.Second))
		default:
			fmt.Printf("SURVIVED  %s: no test of %s -run %s fails without it\n", m.name, m.pkg, m.run)
			survived++
		}
	}
	if survived > 0 {
		os.Exit(1)
	}
}

// try runs the tests over the changed code.
func (m mutation) try() (noticed bool, err error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return false, err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return false, fmt.Errorf("%s has the text %d times, not once: the table here is out of date", m.file, n)
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover does no harm
	changed := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil { //nolint:gosec // the table above names it
		return false, err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := writeOverlay(overlay, m.file, changed); err != nil {
		return false, err
	}
	if out, err := run("build", "-overlay", overlay, m.pkg); err != nil {
		return false, fmt.Errorf("it does not build: %s", out)
	}
	out, err := run("test", "-count=1", "-overlay", overlay, "-timeout", "4m", "-run", m.run, m.pkg)
	var failed *exec.ExitError
	switch {
	case strings.Contains(out, "no tests to run"):
		return false, errors.New("there is no such test")
	case err == nil:
		return false, nil
	case errors.As(err, &failed) && (strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic: test timed out")):
		return true, nil
	default:
		return false, fmt.Errorf("%w: %s", err, out)
	}
}

func writeOverlay(path, file, changed string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	data, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func run(args ...string) (string, error) {
	out, err := exec.Command("go", args...).CombinedOutput() //nolint:gosec,noctx // the table above; the tests have a time limit
	return string(out), err
}
