//go:build linux

package anybackfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/point"
)

// childEnv names the directory of a case that a process of its own runs.
const childEnv = "RIKKI_ANYBACKFILL_CHILD"

const childMark = "ANYBACKFILL ENDED "

type childWork struct {
	URI, DB, Hist, Script string
	Params                map[string]any
	Undo                  string // the run to undo, instead of a script
	UndoParams            backfill.UndoRun
	Hit                   int
}

type childSaid struct {
	State, Error string
	Partial      bool
}

// startChild has this binary do the work, and waits for its end.
func startChild(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// child is that process. It kills itself at a crash point.
func child(dir string) int {
	var w childWork
	data, err := os.ReadFile(filepath.Join(dir, "child.json"))
	if err == nil {
		err = json.Unmarshal(data, &w)
	}
	if err != nil {
		fmt.Println(err)
		return 2
	}
	var hits atomic.Int64
	point.Hook(func(string) {
		if hits.Add(1) == int64(w.Hit) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	app, err := newApp(configOf(w.URI, w.DB, w.Hist, "child-"+w.DB, nil, nil))
	if err != nil {
		fmt.Println(err)
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), mostTime)
	defer cancel()
	var res *rikki.Result
	if w.Undo != "" {
		res, err = backfill.Undo(ctx, app, w.Undo, &rikki.RunOptions{Params: &w.UndoParams})
	} else {
		res, err = app.Run(ctx, w.Script, &rikki.RunOptions{Params: w.Params})
	}
	var said childSaid
	if res != nil {
		said.State = string(res.State)
	}
	if err != nil {
		said.Error = err.Error()
		_, said.Partial = errors.AsType[*rikki.PartialError](err)
	}
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	_ = app.Close(closing)
	text, _ := json.Marshal(said)
	fmt.Println(childMark + string(text))
	return 0
}
