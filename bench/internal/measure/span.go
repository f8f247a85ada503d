package measure

import "slices"

// Span sums up the values of all rounds.
type Span struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpanOf returns the span of values, which is zero where there are none.
func SpanOf(values []float64) Span {
	if len(values) == 0 {
		return Span{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Span{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// All returns the span of a figure of samples.
func All(samples []Sample, of func(Sample) float64) Span { return SpanOf(figures(samples, of)) }

// Ratios divides the figures of two contestants, round by round: a machine that is slow for a while is so for both.
func Ratios(over, under []Sample, of func(Sample) float64) Span {
	var values []float64
	above, below := figures(over, of), figures(under, of)
	for i := range min(len(above), len(below)) {
		if below[i] > 0 {
			values = append(values, above[i]/below[i])
		}
	}
	return SpanOf(values)
}

func figures(samples []Sample, of func(Sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return values
}
