package connlines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Count says how many lines of code a file has, and how many of them are about the connection.
type Count struct {
	File       string
	Code       int
	Connection int
	// Lines are the numbers of the lines about the connection.
	Lines []int
}

// File counts a Go or JavaScript file.
func File(path string) (Count, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return Count{}, fmt.Errorf("count connection lines: %w", err)
	}
	switch filepath.Ext(path) {
	case ".go":
		return goSource(path, src)
	case ".js", ".mjs", ".cjs", ".ts":
		return jsSource(path, src), nil
	}
	return Count{}, fmt.Errorf("count connection lines: %s is neither Go nor JavaScript", path)
}

// Comparison is a script before and after.
type Comparison struct {
	Before, After Count
}

// Compare counts two files.
func Compare(before, after string) (Comparison, error) {
	b, err := File(before)
	if err != nil {
		return Comparison{}, err
	}
	a, err := File(after)
	if err != nil {
		return Comparison{}, err
	}
	return Comparison{Before: b, After: a}, nil
}

// Saved is the share of connection lines that is gone, in per cent.
func (c Comparison) Saved() float64 {
	if c.Before.Connection == 0 {
		return 0
	}
	return 100 * float64(c.Before.Connection-c.After.Connection) / float64(c.Before.Connection)
}

// Markdown writes the comparison as a table.
func (c Comparison) Markdown() string {
	var b strings.Builder
	b.WriteString("| | lines of code | about the connection |\n|---|---:|---:|\n")
	fmt.Fprintf(&b, "| before | %d | %d |\n", c.Before.Code, c.Before.Connection)
	fmt.Fprintf(&b, "| after | %d | %d |\n", c.After.Code, c.After.Connection)
	fmt.Fprintf(&b, "| saved | %d | %d (%.0f %%) |\n", c.Before.Code-c.After.Code, c.Before.Connection-c.After.Connection, c.Saved())
	return b.String()
}

// collect turns marked lines into a count.
func collect(path string, code, marked map[int]bool) Count {
	c := Count{File: path, Code: len(code)}
	last := 0
	for n := range code {
		last = max(last, n)
	}
	for n := 1; n <= last; n++ {
		if code[n] && marked[n] {
			c.Lines = append(c.Lines, n)
		}
	}
	c.Connection = len(c.Lines)
	return c
}
