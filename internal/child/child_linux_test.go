package child_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestProgramDiesWithARunnerThatIsKilled(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runner := exec.CommandContext(t.Context(), self)
	runner.Env = append(os.Environ(), runnerEnv+"=1")
	out, err := runner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid := number(t, strings.TrimSpace(line))
	if err := runner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = runner.Wait() // it was killed
	deadline, ticker := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer ticker.Stop()
	for living(pid) {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("process %d outlives its runner", pid)
		}
	}
}
