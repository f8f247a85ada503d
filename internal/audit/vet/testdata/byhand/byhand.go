// Package byhand connects in every way that counts, and in some that don't.
package byhand

import (
	. "go.mongodb.org/mongo-driver/v2/mongo"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
)

type fake struct{}

// Connect doesn't.
func (fake) Connect() {}

func named() (*driver.Client, error) {
	return driver.Connect() // want
}

func dotted() (*Client, error) {
	return Connect() // want
}

func value() any {
	return driver.Connect // want
}

func others() {
	mongo := fake{}
	mongo.Connect() // driver.Connect()
	_ = driver.IsTimeout(nil)
}
