package redact

import "strings"

// Secrets lists the password and the values of the secret options of a URI, as
// they are spelled there. User names are not among them: they are ordinary
// words, and hiding those would garble every text.
func Secrets(uri string) []string {
	_, rest, ok := cutScheme(strings.TrimSpace(uri))
	if !ok {
		return nil
	}
	var secrets []string
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if _, password, ok := strings.Cut(rest[:at], ":"); ok {
			secrets = append(secrets, password)
		}
	}
	// A password may hold a ? as well, so the options are looked for behind each.
	for _, options, ok := strings.Cut(rest, "?"); ok; _, options, ok = strings.Cut(options, "?") {
		for option := range strings.SplitSeq(options, "&") {
			secrets = append(secrets, optionSecrets(option)...)
		}
	}
	return secrets
}

func optionSecrets(option string) []string {
	key, value, ok := strings.Cut(option, "=")
	if !ok || value == "" || harmless(key) || value == "true" || value == "false" {
		return nil
	}
	secrets := []string{value}
	if !strings.EqualFold(key, "authMechanismProperties") {
		return secrets
	}
	for property := range strings.SplitSeq(value, ",") {
		if name, secret, ok := strings.Cut(property, ":"); ok && secretProperty(name) {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// secretProperty tells the properties that hold a credential from those, such
// as ENVIRONMENT:gcp, whose values are ordinary words.
func secretProperty(name string) bool {
	switch strings.ToUpper(name) {
	case "SERVICE_NAME", "SERVICE_REALM", "SERVICE_HOST", "CANONICALIZE_HOST_NAME", "ENVIRONMENT", "ALLOWED_HOSTS":
		return false
	default:
		return true
	}
}
