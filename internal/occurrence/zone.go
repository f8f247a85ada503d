package occurrence

import (
	_ "embed"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // containers without zone files must compute the same slots as everybody else
)

// zoneNames lists the zones of the IANA database, one a line: Go can load a zone but not list them.
//
//go:embed zones.txt
var zoneNames string

// parseZone finds a zone. Without one the fault is noted, and UTC serves to find further faults.
func parseZone(ps *problems, name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	if strings.EqualFold(name, "local") {
		ps.add("zone", "the local zone differs from machine to machine", "name it, as in Europe/Berlin, or leave it out for UTC")
		return time.UTC
	}
	near := nearestZone(name)
	// Some file systems do not tell upper from lower case, so a name that works here would fail elsewhere.
	if loc, err := time.LoadLocation(name); err == nil && (near == name || !strings.EqualFold(near, name)) {
		return loc
	}
	problem := Problem{Field: "zone", What: fmt.Sprintf("there is no time zone %q", clip(name)), Fix: "use an IANA name, as in Europe/Berlin"}
	if near != "" {
		problem.Fix = fmt.Sprintf("did you mean %s?", near)
	}
	*ps = append(*ps, problem)
	return time.UTC
}

// nearestZone guesses which zone was meant: the same name in other letters, a city without its continent, a near
// miss; or "".
func nearestZone(name string) string {
	want := foldZone(name)
	best, limit := "", min(len(want)/3+1, 4)
	for zone := range strings.Lines(zoneNames) {
		zone = strings.TrimSpace(zone)
		folded := foldZone(zone)
		if zone == name {
			return zone
		}
		if folded == want {
			best, limit = zone, 0
			continue
		}
		if _, city, ok := strings.Cut(folded, "/"); ok && city == want && limit > 0 {
			best, limit = zone, 0
			continue
		}
		if d := distance(want, folded, limit); d < limit {
			best, limit = zone, d
		}
	}
	return best
}

func foldZone(s string) string {
	return strings.ToLower(strings.NewReplacer(" ", "_", "-", "_").Replace(s))
}

// nearest returns the candidate nearest to word, or "".
func nearest(word string, candidates ...string) string {
	best, limit := "", len(word)/3+1
	for _, c := range candidates {
		if d := distance(word, c, limit); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace between a and b. It gives up at limit.
func distance(a, b string, limit int) int {
	if limit <= 0 || len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 {
		return limit
	}
	old, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(old[j+1]+1, row[j]+1, old[j]+cost)
		}
		old, row = row, old
	}
	return min(old[len(b)], limit)
}

// clip keeps what a user wrote from filling the screen.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
