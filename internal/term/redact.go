package term

import "github.com/rikki-go/rikki/internal/redact"

func (t *Term) redact(s string) string {
	if t.opts.Redact != nil {
		return t.opts.Redact(s)
	}
	return redact.Text(s)
}
