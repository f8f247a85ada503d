// Package child runs another program and guarantees that it ends: with everything it started, whether or not it
// listens to signals, and whatever it does with its output.
//
// # What is guaranteed
//
//   - The program runs in a process group of its own, so that a Ctrl-C on the terminal reaches the runner alone, and one
//     signal reaches the program with all that it started.
//   - When the context ends, the group gets SIGTERM and, after Config.KillAfter, SIGKILL.
//   - What the program leaves behind in its group when it exits is ended the same way: a run that is over must not go
//     on writing.
//   - A process that left the group (setsid) and holds the output open isn't waited for. It can't be ended, so it is
//     reported.
//   - On Linux the program dies with the runner, even when that is killed with SIGKILL. What the program itself started
//     doesn't.
//   - Output is read all the time and never kept as a whole, so neither a flood nor an endless line takes memory.
//
// On Windows there are no process groups: there the tree of processes is ended by taskkill, at once.
//
// It contains accidents. It is no sandbox: a program that wants to get away can.
package child
