package redact

import "strings"

// safeOptions masks the values of a URI's query. An option shows its value only
// when it is known to be harmless, since new drivers bring new secrets.
func safeOptions(query string) string {
	parts := strings.Split(query, "&")
	for i, part := range parts {
		parts[i] = safeOption(part)
	}
	return strings.Join(parts, "&")
}

func safeOption(part string) string {
	key, value, ok := strings.Cut(part, "=")
	switch {
	case part == "":
		return ""
	case !ok, key == "", len(key) > 48, !plain(key, ""):
		return Mask
	case harmless(key) && plain(value, "._-/,:"):
		return part
	default:
		return key + "=" + Mask
	}
}

// harmless reports whether an option's value holds nothing secret. Paths of
// private keys are left out: they tell an attacker where to look.
func harmless(key string) bool {
	switch strings.ToLower(key) {
	case "appname", "authmechanism", "authsource", "compressors", "connect", "connecttimeoutms",
		"directconnection", "enableoverloadretargeting", "heartbeatfrequencyms", "journal",
		"loadbalanced", "localthresholdms", "maxadaptiveretries", "maxconnecting", "maxidletimems",
		"maxpoolsize", "maxstalenessseconds", "minpoolsize", "readconcernlevel", "readpreference",
		"readpreferencetags", "replicaset", "retryreads", "retrywrites", "servermonitoringmode",
		"serverselectiontimeoutms", "sockettimeoutms", "srvmaxhosts", "srvservicename", "ssl",
		"timeoutms", "tls", "tlscafile", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames",
		"tlsdisablecertificaterevocationcheck", "tlsdisableocspendpointcheck", "tlsinsecure", "w",
		"waitqueuetimeoutms", "wtimeoutms", "zlibcompressionlevel", "zstdcompressionlevel":
		return true
	default:
		return false
	}
}
