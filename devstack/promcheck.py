"""Checks rules, queries and metrics with Prometheus' own parsers and engine.

``go/promcheck`` is a small Go program around the packages that promtool uses. The first check on a
machine builds the program, usually in less than a minute. The hashes of the packages are in
``go.sum``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devstack import golang
from devstack.golang import Program

PROMCHECK = Program("promcheck", "mljob.dev/devstack/promcheck")


@dataclass(frozen=True)
class Use:
    """The use of one metric in a PromQL expression.

    Attributes:
        query: The PromQL expression: a query, or the expression of a rule.
        metric: The name of the metric, with suffixes such as ``_total``.
        labels: The names of the labels in the metric's selector, and in the ``by`` and ``on``
            clauses around the metric.
    """

    query: str
    metric: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Findings:
    """The result of a check.

    Attributes:
        problems: Messages about invalid rules and queries, and about metrics that break Prometheus'
            conventions.
        uses: One entry for each place where a query, or the expression of a rule, contains a
            metric.
        firing: One pair for each alert that fires at the time of the last sample: the name of the
            alert, and the labels in the result of the alert's expression. The labels that the
            alerting rule adds are not included.
    """

    problems: Sequence[str]
    uses: Sequence[Use]
    firing: Sequence[tuple[str, Mapping[str, str]]]


def check(*, rules: str = "", series: Sequence[str] = (), queries: Sequence[str] = (), metrics: str = "") -> Findings:
    """Check rules, queries and metrics for Prometheus, and find out which alerts of ``rules`` fire
    for ``series``. Mistakes in the arguments raise no errors: they are in ``problems`` of the
    result.

    Args:
        rules: The text of a file with rules for Prometheus, as ``promtool check rules`` reads it.
        series: Series in the notation of ``promtool test rules``, such as ``up{job="x"} 1x10``,
            with one sample per minute. Prometheus' engine evaluates the expressions of the
            alerting rules on these series.
        queries: PromQL expressions.
        metrics: The text that a ``/metrics`` endpoint returns, as ``promtool check metrics`` reads
            it.

    Raises:
        MissingToolError: The Go program ``promcheck`` can't be built. The message says why.
    """
    asked = json.dumps({"rules": rules, "series": list(series), "queries": list(queries), "metrics": metrics})
    answer = subprocess.run(
        [golang.built("promcheck", PROMCHECK)], input=asked, capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(answer)
    uses = [Use(use["query"], use["metric"], frozenset(use["labels"])) for use in found["uses"]]
    return Findings(found["problems"], uses, [(alert["alert"], alert["labels"]) for alert in found["firing"]])
