// Package jsonconfig keeps config documents in an application's own database:
// found by slug or alias, changed only by somebody who has seen the latest
// version, and with every version kept.
//
//	configs := jsonconfig.In(run.DB())
//	limits, err := jsonconfig.GetAs[Limits](ctx, configs, "rate-limits")
//
// To change a config, read it, change it and put it back. The version that was
// read goes along, so of two who change the same config at once one wins and
// the other gets [ErrConflict]:
//
//	cfg, err := configs.Get(ctx, "rate-limits")
//	cfg.Value = limits
//	cfg, err = configs.Put(ctx, cfg, "OPS-812: double the limit")
//
// # Keys
//
// A slug names a config for ever. Aliases are further names, which may be
// changed and given to another config. One unique index covers both, over an
// array that holds the slug and the aliases, so no name can ever mean two
// configs, whoever creates them at the same time. The first write that misses
// the index builds it; no read and no later write spends a round trip on it.
//
// # Values
//
// A value is any BSON value: dates, 64-bit integers and decimals survive. Go
// values are encoded by their bson tags, else by their json tags. JSON comes in
// and goes out as Extended JSON, see [FromJSON] and [Config.JSON].
//
// Values are stored as they are, every version of them, and shown to whoever
// may read the collection. Don't put passwords or keys into a config.
//
// # Versions, and what a crash can do
//
// The document of a config holds its newest version whole, and one collection
// holds copies of older ones. A change first copies the newest version, then
// replaces it in one atomic write whose filter names the version that was
// copied. Both writes wait for a majority, in this order. So:
//
//   - A crash before the second write leaves a copy of what is still the
//     newest version. History ignores copies that aren't older than the config,
//     so no version is invented, and the next change finds its copy made.
//   - No crash can lose a version: it is replaced only once its copy is safe.
//   - A version never changes once it can be read, so two who copy it write
//     the same.
//
// It needs no transaction, hence holds on a standalone server too. When the
// answer to a change got lost, its outcome is unknown until the config is read
// again; repeating it is harmless, because it still names the old version.
//
// Deleting is a change as well: it leaves a version without a value, which
// keeps the slug, so that history goes on when the config is created again.
package jsonconfig
