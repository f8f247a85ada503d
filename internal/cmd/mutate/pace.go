package main

// pace are the safeguards that keep a backfill fast, and let others work beside it.
func pace() []mutation {
	return []mutation{
		{
			name: "pace: the link's time is not the documents'", file: "internal/pace/turn.go",
			old: "busy := max(o.Took-t.c.link.observe(o, t.c.commits.least), 0)", new: "busy := max(o.Took-0*t.c.link.observe(o, t.c.commits.least), 0)",
			pkg: "./internal/pace", run: "TestTheTimeOfTheLinkIsNotThatOfTheDocuments",
		},
		{
			name: "pace: chunks are smaller only where smaller was faster", file: "internal/pace/model.go",
			old: "m.fixed = min(max(m.fixed+kf*off, 0), took)", new: "m.fixed = min(max(0*kf*off, 0), took)",
			pkg: "./internal/pace", run: "TestSize|TestChunks",
		},
		{
			name: "pace: a smaller chunk now and then tells what is fixed", file: "internal/pace/size.go",
			old: "if z.granted++; z.granted%lessonEvery == 0 {", new: "if z.granted++; z.granted < 0 {",
			pkg: "./internal/pace", run: "TestSize|TestChunks",
		},
		{
			name: "pace: a size that failed is remembered", file: "internal/pace/size.go",
			old: "\tif z.ceiling > 0 {\n", new: "\tif z.ceiling < 0 {\n",
			pkg: "./internal/pace", run: "TestFailuresAreRemembered",
		},
		{
			name: "pace: a chunk has a least size", file: "internal/pace/size.go",
			old: "min(leastChunk, g.most.Seconds()/cost)", new: "min(MinChunk, g.most.Seconds()/cost)",
			pkg: "./internal/pace", run: "TestSizeHasALeast",
		},
		{
			name: "pace: more workers over a link", file: "internal/pace/link.go",
			old: "if s.MostWorkers <= s.Workers {", new: "if s.MostWorkers <= s.MostWorkers {",
			pkg: "./internal/pace", run: "TestMoreWorkersOverALink",
		},
		{
			name: "pace: a gentle run has one chunk under way", file: "internal/pace/gentle.go",
			old: "case g.under >= room:", new: "case g.under < 0:",
			pkg: "./internal/pace", run: "TestGentle",
		},
		{
			name: "pace: a gentle run rests after each chunk", file: "internal/pace/gentle.go",
			old: "case now.Before(g.rests):", new: "case now.Before(g.rests) && now.IsZero():",
			pkg: "./internal/pace", run: "TestGentle",
		},
		{
			name: "pace: nobody knows a signal before its first sample", file: "internal/pace/signal.go",
			old: "case s.at.IsZero() && fails:", new: "case s.at.IsZero():\n\t\treturn \"\"\n\tcase s.known && s.at.IsZero() && fails:",
			pkg: "./internal/pace", run: "TestUnknownByPolicy",
		},
		{
			name: "pace: one sample that is off neither pauses a run nor lets it go", file: "internal/pace/signal.go",
			old: "if s.streak++; s.streak >= samples {", new: "if s.streak++; s.streak > 0 {",
			pkg: "./internal/pace", run: "TestSignalPausesAndLetsGo",
		},
		{
			name: "pace: a rate that is next to nothing is a limit", file: "internal/pace/bucket.go",
			old: "wait := min(-b.balance/b.rate, longest.Seconds())", new: "wait := -b.balance / b.rate",
			pkg: "./internal/pace", run: "TestATinyRateIsALimit",
		},
		{
			name: "pace: the lag is looked at before the first chunk", file: "backfill/pacer.go",
			old: "cfg.Sensors = append(cfg.Sensors, pace.Sensor{Name: pace.Lag})", new: "_ = pace.Lag",
			pkg: "./backfill", run: "TestADeadMemberIsNoticedBeforeTheFirstDocument",
		},
		{
			name: "pace: a delayed member counts from its delay on", file: "backfill/members.go",
			old: "delay := s.delays[m.Name]", new: "delay := 0 * s.delays[m.Name]",
			pkg: "./backfill", run: "TestADelayedMember",
		},
		{
			name: "pace: a delayed member is measured by what the primary had then", file: "backfill/members.go",
			old: "return pace.LagBetween(due, m.applied())", new: "return pace.LagBetween(due, due)",
			pkg: "./backfill", run: "TestADelayedMember",
		},
		{
			name: "pace: a hidden member that is late by the same time is a delayed one", file: "backfill/members.go",
			old: "\ts.delays[m.Name] = k.least\n\treturn k.least", new: "\treturn 0 * k.least",
			pkg: "./backfill", run: "TestAHiddenMemberOfUnknownDelay",
		},
		{
			name: "pace: only hidden members are taken for delayed ones", file: "backfill/members.go",
			old: "if late.Unknown || !s.hidden(m.Name) {", new: "if late.Unknown {",
			pkg: "./backfill", run: "TestAHiddenMemberOfUnknownDelay|TestTheMemberThatIsWaitedForIsNamed",
		},
		{
			name: "pace: members that are ignored don't count", file: "backfill/members.go",
			old: "m.State == statePrimary || s.ignores(m.Name) {\n\t\t\tcontinue", new: "m.State == statePrimary {\n\t\t\tcontinue",
			pkg: "./backfill", run: "TestTheMemberThatIsWaitedForIsNamed",
		},
		{
			name: "pace: after a silence no member is behind by all of it", file: "backfill/members.go",
			old: "sure = late.Value <= limit.Seconds() ||", new: "sure = late.Value >= 0 ||",
			pkg: "./backfill", run: "TestAQuietSetHasNoLag",
		},
	}
}
