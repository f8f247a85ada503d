package term

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// plain is the progress line where nobody can watch a bar: one line of key=value pairs that grep and people read.
func (f frame) plain(now time.Time) string {
	s := f.sample
	var b strings.Builder
	b.WriteString(now.UTC().Format(time.RFC3339))
	pair := func(key, value string) { b.WriteString(" " + key + "=" + quoted(value)) }
	if f.head.Run != "" {
		pair("run", f.head.Run)
	}
	pair("script", f.head.Script)
	if s.Total > 0 {
		pair("pct", percentText(s.percent()))
	}
	pair("done", strconv.FormatInt(s.Done, 10))
	if s.Total > 0 {
		pair("total", strconv.FormatInt(s.Total, 10))
	}
	pair("rate", strings.ReplaceAll(Rate(s.Rate), ",", ""))
	if s.Total > 0 {
		eta := "-"
		if d, ok := s.eta(); ok {
			eta = seconds(d)
		}
		pair("eta", eta)
	} else {
		pair("elapsed", seconds(f.elapsed))
		if s.Reached != "" {
			pair("reached", s.Reached)
		}
	}
	pair("errors", strconv.FormatInt(s.Errors, 10))
	if msg := s.detail(); msg != "" {
		pair("msg", msg)
	}
	return b.String()
}

// detail is what the third line of a bar would say.
func (s Sample) detail() string { return strings.Join(s.Detail, "; ") }

type progressJSON struct {
	Time    string   `json:"time"`
	Level   string   `json:"level"`
	Msg     string   `json:"msg"`
	Run     string   `json:"run,omitempty"`
	Script  string   `json:"script"`
	Percent *float64 `json:"pct,omitempty"`
	Done    int64    `json:"done"`
	Total   int64    `json:"total,omitempty"`
	Rate    float64  `json:"rate"`
	ETA     *float64 `json:"eta_seconds,omitempty"`
	Elapsed float64  `json:"elapsed_seconds"`
	Errors  int64    `json:"errors"`
	Detail  string   `json:"detail,omitempty"`
}

// record is the same line for --log-format=json, where every line on stderr must be an object.
func (f frame) record(now time.Time) string {
	s := f.sample
	rec := progressJSON{
		Time: now.UTC().Format(time.RFC3339), Level: "INFO", Msg: "progress", Run: f.head.Run, Script: f.head.Script,
		Done: s.Done, Total: s.Total, Rate: s.Rate, Elapsed: f.elapsed.Round(time.Millisecond).Seconds(), Errors: s.Errors, Detail: s.detail(),
	}
	if s.Total > 0 {
		pct := s.percent()
		rec.Percent = &pct
	}
	if d, ok := s.eta(); ok {
		sec := d.Round(time.Second).Seconds()
		rec.ETA = &sec
	}
	b, err := json.Marshal(rec)
	if err != nil { // NaN or an infinite rate is the only way
		rec.Rate = 0
		b, _ = json.Marshal(rec)
	}
	return string(escapeJSON(b))
}

// quoted keeps a value one token.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=") {
		return strconv.Quote(s)
	}
	return s
}
