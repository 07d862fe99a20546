from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from devstack import promcheck
from mljob_contract.mljob import Phase
from mljob_operator.adapters.metrics import Metrics
from mljob_operator.controllers.mljob.write_queue import WriteQueue
from mljob_operator.core.mljob.resource.job_labels import JobLabels
from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.rendering import CHART, CRD, INSTANCE_CRD, NAMESPACE, ROOT, Rendered

FILES = CHART / "files" / "monitoring"
ALERTS = (FILES / "alerts.yaml").read_text()
RULES = [rule for group in libyaml.load(ALERTS)["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FILES / "dashboard.json").read_text())
PAGE = ROOT / "docs" / "operations" / "alerts.md"

OF_EVERY_SCRAPE = {"job", "instance"}
"""Labels that Prometheus adds to every series of a scrape."""
PROMETHEUS_OWN = {"up": OF_EVERY_SCRAPE}
"""Metrics of Prometheus itself, with their labels."""
VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$namespace": ".*", "$type": ".*", "$airflow": ".*"}
"""A value for each variable in the dashboard's queries, which Grafana would replace."""


def everything() -> Metrics:
    """Return the operator's metrics, with at least one value of each metric."""
    metrics, labels = Metrics(), JobLabels("team-a", "Training", "Failed", "TaskFailed", "prod")
    metrics.jobs.airflow_exists("prod")
    metrics.jobs.follow(("team-a", "churn"), labels)
    metrics.jobs.finished(labels)
    for record in (metrics.jobs.submission_wait, metrics.jobs.queue_wait, metrics.jobs.run):
        record(labels, 1, "run")
    metrics.jobs.duration(labels, "Failed", 1, "run")
    for outcome in ("applied", "foreign", "tombstone", "unreadable"):
        metrics.event(outcome)
    for outcome in ("ok", "failed"):
        metrics.resync("prod", outcome)
    metrics.airflow_request("prod", "submit", "ok", 1)
    metrics.airflow_ready("prod", True)
    metrics.runs_vanished("prod", 0)
    metrics.orphaned_runs("prod", 0)
    metrics.reservations("prod", 1, 1)
    metrics.kafka_connected("airflow.events", True)
    metrics.kafka_lag("airflow.events", 0)
    metrics.follow_writes(WriteQueue().numbers)
    return metrics


def families() -> list[Metric]:
    found = list(everything().registry.collect())
    empty = [family.name for family in found if not family.samples]
    assert not empty, "everything() has to record these metrics too"
    return found


def exposed() -> dict[str, list[dict[str, str]]]:
    """Return the labels of the operator's Prometheus series: for each metric name, a list with one
    dict of labels for each series. The metric names have suffixes such as ``_total``.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for family in families():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def unknown(uses: promcheck.Findings) -> list[str]:
    """Return a text about each metric or label that a query uses, but that neither the operator nor
    Prometheus exposes.
    """
    series, missing = exposed(), []
    for use in uses.uses:
        if use.metric in PROMETHEUS_OWN:
            known = PROMETHEUS_OWN[use.metric]
        elif use.metric in series:
            known = OF_EVERY_SCRAPE | series[use.metric][0].keys()
        else:
            missing.append(f"{use.metric} in {use.query}")
            continue
        missing += [f"{use.metric}{{{label}}} in {use.query}" for label in use.labels - known]
    return missing


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield filled(target["expr"])


def filled(text: str) -> str:
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    return text


def test_metrics_follow_prometheus_conventions() -> None:
    text = generate_latest(everything().registry).decode()
    # A stateful promlint would know that prometheus_client's times of creation belong to a metric.
    plain = "".join(line for line in text.splitlines(keepends=True) if "_created" not in line)
    assert promcheck.check(metrics=plain).problems == []


def test_openmetrics_with_exemplars_can_be_read() -> None:
    text = openmetrics.generate_latest(everything().registry).decode()
    read = {family.name: family for family in text_string_to_metric_families(text)}
    assert read.keys() == {family.name for family in families()}
    exemplars = [sample.exemplar for sample in read["mljob_job_run_seconds"].samples if sample.exemplar]
    assert [exemplar.labels for exemplar in exemplars] == [{"run_id": "run"}]


def test_rules_are_valid_and_name_metrics_and_labels_that_exist() -> None:
    found = promcheck.check(rules=ALERTS)
    assert found.problems == []
    assert len(found.uses) >= len(RULES)
    assert unknown(found) == []


def test_values_of_labels_in_rules_exist() -> None:
    # A mistyped value selects nothing, so the alert would never fire.
    series = exposed()
    for rule in RULES:
        for metric, matchers in re.findall(r"(mljob_\w+)\{([^}]*)\}", rule["expr"]):
            for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
                values = {labels.get(label) for labels in series[metric]}
                assert label == "job" or value in values, f"{rule['alert']}: {label}={value}"


@pytest.mark.parametrize("broken", ["sum(mljob_leader", "mljob_lader == 0", 'mljob_leader{topic="x"} == 0'])
def test_the_check_finds_what_is_wrong(broken: str) -> None:
    rules = yaml.safe_dump({"groups": [{"name": "x", "rules": [{"alert": "X", "expr": broken}]}]})
    found = promcheck.check(rules=rules)
    assert [*found.problems, *unknown(found)]


@pytest.mark.parametrize("rules", ["", "groups: [", "groups: []", yaml.safe_dump(yaml.safe_load(ALERTS))])
def test_the_check_finds_each_series_that_is_wrong(rules: str) -> None:
    found = promcheck.check(rules=rules, series=["up 1x10", "up{ 1x10", "up 1xx"])
    assert sum(problem.startswith(("up{ 1x10: ", "up 1xx: ")) for problem in found.problems) == 2
    assert not [problem for problem in found.problems if problem.startswith("up 1x10: ")]
    assert not found.firing


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_selects_its_scrape_and_has_a_section_of_the_page(rule: dict[str, Any]) -> None:
    assert all('job="mljob-operator"' in selected for selected in re.findall(r"\{[^}]*\}", rule["expr"]))
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / path, anchor) == (PAGE, rule["alert"].lower())
    assert f"\n### {rule['alert']}\n" in PAGE.read_text()


def test_the_page_has_no_section_of_another_alert() -> None:
    sections = re.findall(r"^### (MLJob\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]


def test_dashboard_shows_metrics_and_labels_that_exist() -> None:
    found = promcheck.check(queries=list(queries()))
    assert found.problems == []
    assert unknown(found) == []
    variables = [each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    series = exposed()
    for definition in variables:
        metric, label = re.fullmatch(r"label_values\((\w+)[^,]*, (\w+)\)", filled(definition)).groups()  # type: ignore[union-attr]
        assert label in OF_EVERY_SCRAPE | series[metric][0].keys(), definition


def test_dashboard_shows_every_metric() -> None:
    text = json.dumps(DASHBOARD)
    assert [family.name for family in families() if family.name not in text] == []


def test_series_without_a_value_of_a_label_have_a_name_in_legends() -> None:
    # The settings' Airflow has airflow="", and a new MLJob has reason="". Grafana would name such a series "Value".
    names = {"airflow": "(settings)", "reason": "(new)"}
    never_empty = re.compile(r"mljob_airflow_(active_runs|waiting_jobs)|mljob_jobs_finished_total")
    checked = 0
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            for label in names.keys() & set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])):
                if not never_empty.search(target["expr"]):
                    assert f'"{label}", "{names[label]}", "{label}", "")' in target["expr"], panel["title"]
                    checked += 1
    assert checked >= len(names)


def test_queries_ask_for_exemplars_only_of_metrics_that_have_them() -> None:
    lines = openmetrics.generate_latest(everything().registry).decode().splitlines()
    with_exemplars = {line.split("{")[0] for line in lines if " # {" in line}
    asked = [
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ()) if target.get("exemplar")
    ]
    assert asked
    assert [query for query in asked if not set(re.findall(r"mljob_\w+", query)) & with_exemplars] == []


def test_figures_have_colours_of_their_own() -> None:
    # By default, Grafana shows figures from 80 on in red.
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "stat":
            shown = panel["fieldConfig"]["defaults"]
            assert "thresholds" in shown or shown["color"]["mode"] == "fixed", panel["title"]


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} is over {taken[x, y]}"
                taken[x, y] = panel["title"]
        assert panel["type"] == "row" or len(panel["description"]) > 10
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_nothing_of_it_is_installed_by_default(render: Render) -> None:
    rendered = render()
    assert not rendered.all("PrometheusRule")
    assert not [each for each in rendered.all("ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]]


def rules_of(rendered: Rendered) -> list[dict[str, Any]]:
    return [rule for group in rendered.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    ("job", "expected"), [("", f"{NAMESPACE}/second-mljob-operator"), ('our: "operator"', 'our: "operator"')]
)
def test_prometheus_rule_has_the_alerts_for_its_job(render: Render, job: str, expected: str) -> None:
    values = {
        "serviceMonitor": {"enabled": not job},
        "prometheusRule": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "job": job,
            "runbookUrl": "https://docs.example.com/alerts.html",
        },
    }
    rendered = render(values, release="second")
    rule = rendered.one("PrometheusRule")

    assert rule["metadata"]["namespace"] == NAMESPACE
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert promcheck.check(rules=yaml.safe_dump(rule["spec"], width=10_000)).problems == []
    for each, original in zip(rules_of(rendered), RULES, strict=True):
        assert each == {
            **original,
            "expr": original["expr"].replace('"mljob-operator"', json.dumps(expected)),
            "labels": {**original["labels"], "job": expected},
            "annotations": {
                **original["annotations"],
                "runbook_url": f"https://docs.example.com/alerts.html#{each['alert'].lower()}",
            },
        }


def test_runbook_is_a_path_without_a_url(render: Render) -> None:
    rendered = render({"prometheusRule": {"enabled": True, "job": "mljob-operator"}})
    urls = [rule["annotations"]["runbook_url"] for rule in rules_of(rendered)]
    assert urls == [rule["annotations"]["runbook_url"] for rule in RULES]


def test_dashboard_is_a_config_map_for_grafanas_sidecar(render: Render) -> None:
    values = {"dashboard": {"enabled": True, "labels": {"team": "ml"}, "annotations": {"grafana_folder": "ML"}}}
    rendered = render(values).one("ConfigMap", "mljob-operator-dashboard")

    assert rendered["metadata"]["labels"].items() >= {"grafana_dashboard": "1", "team": "ml"}.items()
    assert rendered["metadata"]["annotations"] == {"grafana_folder": "ML"}
    assert json.loads(rendered["data"]["mljob-operator.json"]) == DASHBOARD


# -- kube-state-metrics ----------------------------------------------------------------------------

STATE_METRICS = libyaml.load((FILES / "kube-state-metrics.yaml").read_text())["spec"]["resources"]
SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]
    for crd in (libyaml.load(file.read_text()) for file in (CRD, INSTANCE_CRD))
}
TYPES = {"Gauge": "gauge", "StateSet": "stateSet", "Info": "info"}
"""Kinds of metrics in kube-state-metrics, with the field that describes each."""


def field(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for name in path:
        schema = schema.get("items", schema)["properties"][name]
    return schema


@pytest.mark.parametrize("resource", STATE_METRICS, ids=lambda resource: resource["groupVersionKind"]["kind"])
def test_kube_state_metrics_reads_fields_that_exist(resource: dict[str, Any]) -> None:
    kind = resource["groupVersionKind"]
    version = SCHEMAS[kind["kind"]]
    assert (kind["group"], kind["version"]) == ("mljob.dev", version["name"])
    schema = version["schema"]["openAPIV3Schema"]
    assert resource["resourcePlural"] == f"{kind['kind'].lower()}s"
    assert resource["errorLogV"] > 0, "else each field that an object does not have yet is an error in the log"
    for metric in resource["metrics"]:
        name = TYPES[metric["each"]["type"]]
        assert metric["each"].keys() == {"type", name}, metric["name"]
        each = metric["each"][name]
        path = each.get("path", [])
        if path[:1] == ["metadata"]:
            assert path == ["metadata", "creationTimestamp"]
            continue
        found = field(schema, path)
        for below in [*each.get("labelsFromPath", {}).values(), each.get("valueFrom", [])]:
            field(found, below)
        if name == "stateSet":
            assert each["list"] == list(Phase)
        if name == "gauge" and "valueFrom" not in each:
            assert found["type"] == "integer" or found["format"] == "date-time", metric["name"]
