package main

// exits are the safeguards that give every way of a backfill an end, and blame who is to blame.
func exits() []mutation {
	return []mutation{
		{
			name: "exits: a run that failed half-way is sealed before it is undone", file: "backfill/undo.go",
			old: "if !run.DryRun() {\n\t\tif err := seal(", new: "if false {\n\t\tif err := seal(",
			pkg: "./backfill", run: "TestARunThatFailedHalfWayGoesOnAtItsCursors/Undone",
		},
		{
			name: "exits: sealing raises the epoch and takes the mark away", file: "internal/store/queue.go",
			old: `{Key: "state", Value: Failed}, {Key: "half_way", Value: true}}` + "\n\tset", new: `{Key: "state", Value: Failed}, {Key: "half_way", Value: false}}` + "\n\tset",
			pkg: "./internal/store", run: "TestARunThatFailedHalfWayGoesOnUntilItIsSealed",
		},
		{
			name: "exits: a retry never does documents twice", file: "control.go",
			old: "if err != nil || done.Matched == 0 {", new: "if err != nil || done.Matched >= 0 {",
			pkg: "./backfill", run: "TestARunThatFailedHalfWayGoesOnAtItsCursors",
		},
		{
			name: "exits: what is tried again has a bound", file: "backfill/exits.go",
			old: "if v.times++; v.times < vainTries || time.Since(v.since) < limit {", new: "if v.times++; v.times > 0 {",
			pkg: "./backfill", run: "TestPatienceEnds",
		},
		{
			name: "exits: errors of the moment pause", file: "backfill/exits.go",
			old: "if !ofTheMoment(err) || isRefusal(err) && e.untouched() {", new: "if err != nil {",
			pkg: "./backfill", run: "TestPatienceEnds|TestCollectionsOfRikkiThatBecomeUnwritablePauseTheRun",
		},
		{
			name: "exits: a document is not blamed for what the server refuses everywhere", file: "backfill/exits.go",
			old: "switch cause := w.everywhere(ctx); {", new: "switch cause := error(nil); {",
			pkg: "./backfill", run: "TestNoDocumentIsBlamedForWhatIsRefusedEverywhere",
		},
		{
			name: "exits: one failed attempt is not enough to blame a document that is alone", file: "backfill/exits.go",
			old: "if c.suspected++; c.suspected < aloneTries {", new: "if c.suspected++; c.suspected < 0 {",
			pkg: "./backfill", run: "TestAnAnswerThatComesOnceBlamesNobody",
		},
		{
			name: "exits: a session whose commit had no answer in time is not used again", file: "backfill/session.go",
			old: "\tif w.stale {", new: "\tif false {",
			pkg: "./backfill", run: "TestACommitWithoutAnswerInTimeIsNotTheEnd",
		},
		{
			name: "exits: an operation of the author's that failed blames its document", file: "operations.go",
			old: "if o.inside[request] && err != nil && o.failed == nil {", new: "if o.inside[request] && err != nil && false {",
			pkg: "./backfill", run: "TestAFailedOperationOfTheFunctionBlamesItsDocument/insert_that_there_is/swallowed/one",
		},
		{
			name: "exits: writes beside the transactions are seen", file: "monitor.go",
			old: "tracked.count(e.CommandName)\n\t\ttracked.noteBeside(o, e)", new: "tracked.count(e.CommandName)",
			pkg: "./backfill", run: "TestWritesBesideTheChunksAreReported",
		},
		{
			name: "exits: a panic of the throttle ends its run alone", file: "backfill/panics.go",
			old: "if _, ok := errors.AsType[*rikki.PanicError](err); ok {\n\t\te.fail(err)", new: "if false {\n\t\te.fail(err)",
			pkg: "./backfill", run: "TestAPanicOfTheScriptFailsTheRun/Throttle",
		},
		{
			name: "exits: a goroutine of the engine that the author ends ends the run", file: "backfill/panics.go",
			old: "\t\tif !ended {", new: "\t\tif !ended && e == nil {",
			pkg: "./backfill", run: "TestAPanicOfTheScriptFailsTheRun/Goexit",
		},
		{
			name: "exits: the stack of an iterator is kept", file: "backfill/sources.go",
			old: "iter.Pull2(caught(s.list(context.WithoutCancel(ctx), after)))", new: "iter.Pull2(s.list(context.WithoutCancel(ctx), after))",
			pkg: "./backfill", run: "TestAPanicOfTheScriptFailsTheRun/TheIterator",
		},
		{
			name: "exits: a retry notes what it has done", file: "backfill/again.go",
			old: "return u.history.MarkDone(ctx, u.root, keys, u.self)", new: "return ctx.Err()",
			pkg: "./backfill", run: "TestWhatFailedIsRetriedOnce",
		},
		{
			name: "exits: a retry of a retry knows what failed first", file: "backfill/again.go",
			old: "u.root = f.Root", new: "_ = f.Root",
			pkg: "./backfill", run: "TestWhatFailedIsRetriedOnce",
		},
		{
			name: "exits: a dry run goes on without what is refused", file: "backfill/rehearsal.go",
			old: "!r.settle(ctx, c, err) {", new: "r.settle(ctx, c, err) {",
			pkg: "./backfill", run: "TestADryRunPassesByWhatTheRunWould",
		},
		{
			name: "exits: the preview forgets a transaction that is over", file: "dryrun.go",
			old: "d.fence.forget()", new: "_ = d.fence",
			pkg: "./backfill", run: "TestADryRunPassesByWhatTheRunWould",
		},
	}
}
