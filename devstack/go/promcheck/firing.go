package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// step is the time between two samples, and between two evaluations of the rules.
const step = time.Minute

// alert is an alert that fires at the time of the last sample.
type alert struct {
	Alert  string            `json:"alert"`
	Labels map[string]string `json:"labels"`
}

// firing returns the alerts of the rules that fire at the time of the last sample.
func firing(groups *rulefmt.RuleGroups, series memory, length int) ([]alert, error) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})
	found := []alert{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			active, err := activeSince(engine, series, rule.Expr, length)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", rule.Alert, err)
			}
			for _, each := range active {
				if time.Duration(length-1-each.since)*step >= time.Duration(rule.For) {
					found = append(found, alert{rule.Alert, each.labels.Map()})
				}
			}
		}
	}
	return found, nil
}

// activity is a result of a rule's expression that is there at the last step, and since which step it
// has been there.
type activity struct {
	labels labels.Labels
	since  int
}

func activeSince(engine *promql.Engine, series memory, expression string, length int) (map[uint64]activity, error) {
	active := map[uint64]activity{}
	for number := range length {
		query, err := engine.NewInstantQuery(context.Background(), series, nil, expression, time.Unix(0, 0).Add(time.Duration(number)*step))
		if err != nil {
			return nil, err
		}
		result := query.Exec(context.Background())
		if result.Err != nil {
			return nil, result.Err
		}
		vector, err := result.Vector()
		if err != nil {
			return nil, err
		}
		still := map[uint64]activity{}
		for _, sample := range vector {
			id := sample.Metric.Hash()
			since := number
			if before, ok := active[id]; ok {
				since = before.since
			}
			still[id] = activity{sample.Metric, since}
		}
		query.Close()
		active = still
	}
	return active, nil
}

// memory is a storage of series.
type memory []promql.Series

// parsed reads series in promtool's notation, such as `up{job="x"} 1x10`. It also returns the number of
// samples of the longest one, and a problem for each series that it can't read.
func parsed(promqls parser.Parser, descriptions []string) (found memory, length int, problems []string) {
	for _, description := range descriptions {
		metric, values, err := promqls.ParseSeriesDesc(description)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s", description, err))
			continue
		}
		one := promql.Series{Metric: metric}
		for number, value := range values {
			if !value.Omitted {
				at := (time.Duration(number) * step).Milliseconds()
				one.Floats = append(one.Floats, promql.FPoint{T: at, F: value.Value})
			}
		}
		found, length = append(found, one), max(length, len(values))
	}
	return found, length, problems
}

// Querier implements storage.Queryable.
func (m memory) Querier(mint, maxt int64) (storage.Querier, error) {
	return &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			set := &seriesSet{at: -1}
			for _, series := range m {
				if matches(series.Metric, matchers) {
					set.series = append(set.series, within(series, mint, maxt))
				}
			}
			return set
		},
	}, nil
}

func matches(metric labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(metric.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

func within(series promql.Series, mint, maxt int64) promql.Series {
	kept := promql.Series{Metric: series.Metric}
	for _, point := range series.Floats {
		if point.T >= mint && point.T <= maxt && !math.IsNaN(point.F) {
			kept.Floats = append(kept.Floats, point)
		}
	}
	return kept
}

type seriesSet struct {
	series []promql.Series
	at     int
}

func (s *seriesSet) Next() bool {
	s.at++
	return s.at < len(s.series)
}
func (s *seriesSet) At() storage.Series                { return promql.NewStorageSeries(s.series[s.at]) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
