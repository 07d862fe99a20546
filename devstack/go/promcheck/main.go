// promcheck checks rules, queries and metrics with Prometheus' own packages, as promtool does. promtool
// itself imports the clients of every cloud for service discovery, and takes minutes to build.
//
// It reads a JSON object from standard input and writes another one to standard output.
package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

type request struct {
	// Rules is a file of rules, as `promtool check rules` reads it.
	Rules string `json:"rules"`
	// Queries are PromQL expressions.
	Queries []string `json:"queries"`
	// Series are series in promtool's notation, such as `up{job="x"} 1x10`, with a sample a minute. The
	// answer has the alerts of the rules that fire at the end.
	Series []string `json:"series"`
	// Metrics is the text of a scrape, as `promtool check metrics` reads it.
	Metrics string `json:"metrics"`
}

// use is what a query wants of one metric.
type use struct {
	Query  string   `json:"query"`
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

type answer struct {
	Problems []string `json:"problems"`
	Uses     []use    `json:"uses"`
	Firing   []alert  `json:"firing"`
}

func main() {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, "promcheck: standard input is not the JSON object that it reads:", err)
		os.Exit(2)
	}
	found := answer{Problems: []string{}, Uses: []use{}, Firing: []alert{}}
	promql := parser.NewParser(parser.Options{})
	queries := asked.Queries
	series, length, unreadable := parsed(promql, asked.Series)
	found.Problems = append(found.Problems, unreadable...)
	if asked.Rules != "" {
		groups, problems := rulefmt.Parse([]byte(asked.Rules), false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
		for _, problem := range problems {
			found.Problems = append(found.Problems, problem.Error())
		}
		if groups != nil {
			if len(unreadable) == 0 {
				fire, err := firing(groups, series, length)
				if err != nil {
					found.Problems = append(found.Problems, err.Error())
				} else {
					found.Firing = fire
				}
			}
			for _, group := range groups.Groups {
				for _, rule := range group.Rules {
					queries = append(queries, rule.Expr)
				}
			}
		}
	}
	for _, query := range queries {
		expression, err := promql.ParseExpr(query)
		if err != nil {
			found.Problems = append(found.Problems, fmt.Sprintf("%s: %s", query, err))
			continue
		}
		found.Uses = append(found.Uses, uses(query, expression)...)
	}
	if asked.Metrics != "" {
		problems, err := promlint.New(strings.NewReader(asked.Metrics)).Lint()
		if err != nil {
			found.Problems = append(found.Problems, err.Error())
		}
		for _, problem := range problems {
			found.Problems = append(found.Problems, problem.Metric+": "+problem.Text)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fmt.Fprintln(os.Stderr, "promcheck:", err)
		os.Exit(1)
	}
}

// uses returns the metrics of an expression. A metric's labels are those of its matchers, and those by
// which the aggregations and the operators around it group.
func uses(query string, expression parser.Expr) []use {
	var found []use
	parser.Inspect(expression, func(node parser.Node, path []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		one := use{Query: query}
		wanted := map[string]bool{}
		for _, matcher := range selector.LabelMatchers {
			if matcher.Name == labels.MetricName {
				one.Metric = matcher.Value
			} else {
				wanted[matcher.Name] = true
			}
		}
		for _, outer := range path {
			switch around := outer.(type) {
			case *parser.AggregateExpr:
				if !around.Without {
					add(wanted, around.Grouping)
				}
			case *parser.BinaryExpr:
				if around.VectorMatching != nil && around.VectorMatching.On {
					add(wanted, around.VectorMatching.MatchingLabels)
				}
			}
		}
		one.Labels = []string{}
		for name := range wanted {
			one.Labels = append(one.Labels, name)
		}
		sort.Strings(one.Labels)
		found = append(found, one)
		return nil
	})
	return found
}

func add(wanted map[string]bool, names []string) {
	for _, name := range names {
		wanted[name] = true
	}
}
