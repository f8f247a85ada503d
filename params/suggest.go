package params

import "strings"

// Nearest returns the candidate that a user who typed word most likely meant, or "" when none is near enough.
func Nearest(word string, candidates []string) string {
	best, limit := "", len(word)/3+1
	folded := fold(word)
	for _, c := range candidates {
		if fold(c) == folded {
			return c
		}
		if d := distance(folded, fold(c), limit); d < limit {
			best, limit = c, d
		}
	}
	if best == "" {
		return onlyWith(folded, candidates)
	}
	return best
}

// onlyWith returns the one candidate that begins with the folded word of three letters or more.
func onlyWith(folded string, candidates []string) string {
	found := ""
	for _, c := range candidates {
		if len(folded) < 3 || !strings.HasPrefix(fold(c), folded) {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
}

// fold drops what people mix up most: case and separators.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s))
}

// distance counts the edits between a and b: insert, delete, replace, swap of neighbours. It gives up at limit.
func distance(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return min(old[len(b)], limit)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
