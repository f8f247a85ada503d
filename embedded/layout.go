package embedded

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// layout names the files of one server's directory.
//
//	DIR/data/         mongod's own files
//	DIR/mongod.log    output of the current or last mongod
//	DIR/server.json   the running mongod: process, port, arguments
//	DIR/exit.json     how the last mongod ended
//	DIR/port          the port to try first next time
//	DIR/start.lock    exclusive while somebody starts, joins or restarts
//	DIR/users.lock    shared by every user; the watcher waits for it exclusively
//	DIR/watcher.lock  exclusive while a watcher lives
type layout string

func (l layout) in(name string) string { return filepath.Join(string(l), name) }

func (l layout) data() string        { return l.in("data") }
func (l layout) log() string         { return l.in("mongod.log") }
func (l layout) server() string      { return l.in("server.json") }
func (l layout) exit() string        { return l.in("exit.json") }
func (l layout) port() string        { return l.in("port") }
func (l layout) startLock() string   { return l.in("start.lock") }
func (l layout) usersLock() string   { return l.in("users.lock") }
func (l layout) watcherLock() string { return l.in("watcher.lock") }

// record is the content of server.json.
type record struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
	Watcher int    `json:"watcher"`
	Spec    spec   `json:"spec"`
}

// alive says whether the process of the record still exists.
func (r record) alive() bool { return r.PID > 0 && startTime(r.PID) == r.Started && r.Started != "" }

// process returns a handle on the recorded process, nil when it is gone. The
// handle is taken before the identity is checked, so that where the system has
// process handles (Linux, Windows) no other process can be hit.
func (r record) process() *os.Process {
	p, err := os.FindProcess(r.PID)
	if err != nil {
		return nil
	}
	if !r.alive() {
		_ = p.Release()
		return nil
	}
	return p
}

func (l layout) record() (record, error) {
	var r record
	err := readJSON(l.server(), &r)
	return r, err
}

// make creates the directories, for the owner only.
func (l layout) make() error { return os.MkdirAll(l.data(), 0o700) }

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// writeJSON replaces a file as a whole: a reader sees the old or the new one.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
