// Package rawbson reads BSON documents field by field and puts new ones together, by reference and without decoding anything: that
// would cost more than all that is done with them.
package rawbson
