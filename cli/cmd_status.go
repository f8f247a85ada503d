package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/term"
)

func newStatusCommand(p *program) *cobra.Command {
	c := &command{
		name: "status", short: "Show the connection and the runs under way.",
		examples: []string{"status", "status --json"},
	}
	c.run = func(ctx context.Context, _ []string) error {
		return p.with(ctx, func(s *session) error { return s.status(ctx) })
	}
	return p.cobra(c)
}

type statusJSON struct {
	V            int            `json:"v"`
	State        conn.State     `json:"state"`
	URI          string         `json:"uri"`
	Origin       string         `json:"origin"`
	Database     string         `json:"database"`
	Hosts        []string       `json:"hosts"`
	Primary      string         `json:"primary,omitempty"`
	ReplicaSet   string         `json:"replica_set,omitempty"`
	Transactions bool           `json:"transactions"`
	Server       string         `json:"server_version"`
	LatencyMS    float64        `json:"latency_ms"`
	Pool         conn.Pool      `json:"pool"`
	Warnings     []string       `json:"warnings,omitempty"`
	Running      []rikki.Record `json:"running"`
}

func (s *session) status(ctx context.Context) error {
	health, err := s.runs.Conn().Check(ctx)
	if err != nil {
		return err
	}
	running, err := s.running(ctx)
	if err != nil {
		return err
	}
	st := s.runs.Conn().Status()
	if s.p.term.JSON() {
		return s.p.term.Result(statusJSON{
			V: 1, State: st.State, URI: st.URI, Origin: s.target.origin, Database: st.Database, Hosts: st.Hosts,
			Primary: st.Primary, ReplicaSet: st.ReplicaSet, Transactions: st.Transactions, Server: st.ServerVersion,
			LatencyMS: float64(health.Latency.Microseconds()) / 1000, Pool: st.Pool, Warnings: st.Warnings, Running: running,
		})
	}
	if err := s.p.term.Fields(append(s.connectionFields(st, health), term.Field{
		Key: "pool", Value: fmt.Sprintf("%d open of %d, %d in use", st.Pool.Open, st.Pool.Max, st.Pool.InUse),
	})...); err != nil {
		return err
	}
	table := s.runsTable(running, 0)
	table.Empty = "No runs under way."
	return s.p.term.Table(table)
}

func (s *session) connectionFields(st conn.Status, health conn.Health) []term.Field {
	return []term.Field{
		{Key: "mongodb", Value: string(st.State) + ", answers in " + term.Duration(health.Latency)},
		{Key: "uri", Value: st.URI + " (from " + s.target.origin + ")"},
		{Key: "database", Value: st.Database},
		{Key: "server", Value: serverText(st)},
		{Key: "transactions", Value: transactionsText(st)},
		{Key: "warnings", Value: strings.Join(st.Warnings, "\n")},
	}
}

func serverText(st conn.Status) string {
	text := "MongoDB " + st.ServerVersion
	if st.ReplicaSet != "" {
		text += ", replica set " + st.ReplicaSet
	}
	if st.Primary != "" {
		text += ", primary " + st.Primary
	}
	return text
}

func transactionsText(st conn.Status) string {
	if st.Transactions {
		return "possible"
	}
	return "not possible: this is a standalone server"
}

// running lists the runs that somebody is executing.
func (s *session) running(ctx context.Context) ([]rikki.Record, error) {
	running := []rikki.Record{}
	states := []rikki.State{rikki.Running, rikki.Pausing, rikki.Cancelling}
	for record, err := range s.runs.Runs(ctx, rikki.RunFilter{States: states}) {
		if err != nil {
			return nil, err
		}
		running = append(running, record)
	}
	return running, nil
}
