// Package measure runs programs side by side on one mongod and sums up what they took.
//
// Contestants are processes of their own and take turns, in another order each round, so that whatever else the machine does hits
// them alike; figures are compared within a round. Nothing of this is a test: figures depend on the machine.
package measure
