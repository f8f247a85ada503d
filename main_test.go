package rikki_test

import (
	"os"
	"testing"

	"github.com/rikki-go/rikki/internal/mongotest"
)

// The examples connect as a user's program does, by MONGODB_URI.
func TestMain(m *testing.M) { os.Exit(mongotest.MainWithEnv(m, "examples")) }
