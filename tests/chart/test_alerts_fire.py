"""Prometheus' own engine evaluates the alert rules of the Helm chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from devstack import promcheck
from mljob_operator.adapters.metrics import Metrics
from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.rendering import CHART, Rendered

ALERTS = (CHART / "files" / "monitoring" / "alerts.yaml").read_text()
NAMES = [rule["alert"] for group in libyaml.load(ALERTS)["groups"] for rule in group["rules"]]
MINUTES = 90
OTHER_JOB = {"up": 0, "mljob_leader_seen": 0, "mljob_kafka_connected": 0, "mljob_airflow_ready": 0}
"""Metrics of another release, which has alerts of its own."""


def steady(value: float) -> str:
    return f"{value}x{MINUTES}"


def growing(a_minute: float) -> str:
    return f"0+{a_minute}x{MINUTES}"


def buckets(name: str, labels: str, **a_minute: float) -> dict[str, str]:
    """Return the values of a histogram's buckets over time, in the notation of ``promtool test
    rules``. The keys are the selectors of the buckets.

    Args:
        name: The name of the histogram.
        labels: The labels before ``le``, such as ``airflow="prod",`` with a comma at the end. An
            empty string if ``le`` is the only label.
        a_minute: The growth per minute of each bucket. The keyword for the bucket 5 is ``le_5``,
            for 0.1 ``le_0_1``, and for +Inf ``le_inf``.
    """
    found = {}
    for bucket, growth in a_minute.items():
        le = "+Inf" if bucket == "le_inf" else bucket.removeprefix("le_").replace("_", ".")
        found[f'{name}_bucket{{{labels}le="{le}"}}'] = growing(growth)
    return found


FINISHED = 'mljob_jobs_finished_total{namespace="team-a",type="Training",airflow="prod",phase="%s",reason="%s"}'
WELL: Mapping[str, str] = {
    "up": steady(1),
    'mljob_leader_seen{pod="a"}': steady(1),
    'mljob_leader_seen{pod="b"}': steady(1),
    'mljob_airflow_ready{airflow="prod"}': steady(1),
    'mljob_airflow_ready{airflow=""}': steady(1),
    'mljob_resyncs_total{airflow="prod",outcome="ok"}': growing(12),
    'mljob_resyncs_total{airflow="prod",outcome="failed"}': growing(0.2),
    'mljob_feed_read_timestamp_seconds{airflow="prod"}': growing(60),
    'mljob_kafka_connected{topic="airflow.events"}': steady(1),
    'mljob_kafka_lag{topic="airflow.events"}': steady(20),
    'mljob_airflow_runs_vanished{airflow="prod"}': steady(0),
    'mljob_airflow_orphaned_runs{airflow="prod"}': steady(0),
    "mljob_events_in_flight": steady(5),
    'mljob_events_total{outcome="applied"}': growing(100),
    'mljob_events_total{outcome="unreadable"}': steady(2),
    "mljob_events_disbelieved_total": growing(0.1),
    "mljob_statuses_refused_total": steady(0),
    FINISHED % ("Succeeded", "Succeeded"): growing(1),
    FINISHED % ("Failed", "TaskFailed"): growing(0.2),
    **buckets("mljob_event_to_status_seconds", "", le_0_1=99, le_5=100, le_10=100, le_inf=100),
    **buckets("mljob_status_write_lag_seconds", "", le_0_1=99, le_5=100, le_10=100, le_inf=100),
    **buckets("mljob_job_queue_wait_seconds", 'airflow="prod",', le_60=9, le_900=10, le_3600=10, le_inf=10),
}

AIRFLOW = {"airflow": "prod"}
TOPIC = {"topic": "airflow.events"}
CASES: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "MLJobOperatorDown": ({"up": steady(0)}, {}),
    "MLJobNoLeader": ({f'mljob_leader_seen{{pod="{pod}"}}': steady(0) for pod in "ab"}, {}),
    "MLJobAirflowNotReady": ({'mljob_airflow_ready{airflow="prod"}': steady(0)}, AIRFLOW),
    "MLJobAirflowUnreadable": (
        {
            'mljob_resyncs_total{airflow="prod",outcome="ok"}': growing(4),
            'mljob_resyncs_total{airflow="prod",outcome="failed"}': growing(8),
        },
        AIRFLOW,
    ),
    "MLJobFeedOld": ({'mljob_feed_read_timestamp_seconds{airflow="prod"}': steady(60)}, AIRFLOW),
    "MLJobKafkaDisconnected": ({'mljob_kafka_connected{topic="airflow.events"}': steady(0)}, TOPIC),
    "MLJobKafkaLag": ({'mljob_kafka_lag{topic="airflow.events"}': steady(20_000)}, TOPIC),
    "MLJobRunsVanished": ({'mljob_airflow_runs_vanished{airflow="prod"}': steady(40)}, AIRFLOW),
    "MLJobOrphanedRuns": ({'mljob_airflow_orphaned_runs{airflow="prod"}': steady(1)}, AIRFLOW),
    "MLJobStatusesNotWritten": ({"mljob_events_in_flight": steady(2000)}, {}),
    "MLJobStatusesLate": (buckets("mljob_event_to_status_seconds", "", le_0_1=50, le_5=90, le_10=100, le_inf=100), {}),
    "MLJobWritesLate": (buckets("mljob_status_write_lag_seconds", "", le_0_1=50, le_5=90, le_10=100, le_inf=100), {}),
    "MLJobMessagesUnreadable": ({'mljob_events_total{outcome="unreadable"}': growing(1)}, {}),
    "MLJobEventsDisbelieved": ({"mljob_events_disbelieved_total": growing(2)}, {}),
    "MLJobStatusesRefused": ({"mljob_statuses_refused_total": growing(1)}, {}),
    "MLJobsFail": ({FINISHED % ("Failed", "TaskFailed"): growing(2)}, {"namespace": "team-a"}),
    "MLJobsWaitInAirflow": (
        buckets("mljob_job_queue_wait_seconds", 'airflow="prod",', le_60=2, le_900=3, le_3600=10, le_inf=10),
        AIRFLOW,
    ),
}


def scraped(series: Mapping[str, str], job: str = "mljob-operator") -> list[str]:
    """Return each series as the line ``<selector> <values>``, the notation of ``promtool test
    rules``. The selector gets the label ``job``, with the value of the argument ``job``.
    """
    found = []
    for selector, values in series.items():
        name, _, labels = selector.partition("{")
        found.append(f'{name}{{job="{job}"{"," + labels if labels else "}"} {values}')
    return found


def observed(metric: str, seconds: float) -> dict[str, str]:
    """Return the buckets of one of the operator's histograms to which observations of ``seconds``
    are added all the time, as `buckets` does.
    """
    metrics = Metrics()
    metrics.event_latency(seconds)
    metrics.write_lag(seconds)
    return {
        f'{sample.name}{{le="{sample.labels["le"]}"}}': growing(100 * sample.value)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == f"{metric}_bucket"
    }


def fired(changed: Mapping[str, str], rules: str = ALERTS) -> list[tuple[str, Mapping[str, str]]]:
    """Return the alerts of ``rules`` that fire if ``changed`` replaces series of ``WELL``. A
    histogram in ``changed`` replaces all of its buckets.
    """
    others = scraped({name: steady(value) for name, value in OTHER_JOB.items()}, "another")
    replaced = {selector.partition("{")[0] for selector in changed if "_bucket" in selector}
    kept = {selector: values for selector, values in WELL.items() if selector.partition("{")[0] not in replaced}
    found = promcheck.check(rules=rules, series=[*scraped({**kept, **changed}), *others])
    assert found.problems == []
    return list(found.firing)


def job_of(rendered: Rendered) -> str:
    """Return the label ``job`` that a release's ServiceMonitor gives to the operator's metrics."""
    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    (job,) = [each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job"]
    return str(job)


def rules_of(rendered: Rendered) -> str:
    """Return the alerts of a release as the text of a file of rules for Prometheus."""
    return json.dumps(rendered.one("PrometheusRule")["spec"])


def fired_after(ups: Sequence[int]) -> list[tuple[str, Mapping[str, str]]]:
    """Return the alerts that fire at the end of ``ups``, the values of the metric ``up`` of two
    Pods.
    """
    values = " ".join(str(up) for up in ups)
    series = {f'up{{pod="{pod}"}}': values for pod in "ab"}
    return list(promcheck.check(rules=ALERTS, series=scraped(series)).firing)


def test_no_alert_fires_while_all_is_well() -> None:
    assert fired({}) == []


def test_each_alert_has_a_case() -> None:
    assert list(CASES) == NAMES


@pytest.mark.parametrize("alert", CASES)
def test_alert_fires_for_what_it_is_about_and_no_other_alert_does(alert: str) -> None:
    changed, labels = CASES[alert]
    assert changed.keys() <= WELL.keys(), "a series that is there while all is well too"
    assert fired(changed) == [(alert, labels)]


@pytest.mark.parametrize(("ok", "failed", "fires"), [(0, 0, False), (12, 2, False), (7, 5, False), (0, 12, True)])
def test_reads_that_fail_fire_an_alert_if_they_are_most_reads(ok: float, failed: float, fires: bool) -> None:
    changed = {
        f'mljob_resyncs_total{{airflow="prod",outcome="{each}"}}': growing(rate)
        for each, rate in (("ok", ok), ("failed", failed))
    }
    assert fired(changed) == ([("MLJobAirflowUnreadable", AIRFLOW)] if fires else [])


def test_a_short_trouble_fires_no_alert() -> None:
    short = f"1x{MINUTES - 3} 0x2"
    airflow, topic = 'mljob_airflow_ready{airflow="prod"}', 'mljob_kafka_connected{topic="airflow.events"}'
    assert fired({airflow: short, topic: short}) == []


@pytest.mark.parametrize(
    ("up", "down", "fires"), [(1, 4, True), (2, 5, True), (1, 2, True), (2, 1, False), (20, 4, False)]
)
def test_pods_that_crash_again_and_again_are_no_operator(up: int, down: int, fires: bool) -> None:
    lives = [1 if minute % (up + down) < up else 0 for minute in range(MINUTES)]
    alerts = [fired_after(lives[:end]) for end in range(MINUTES - up - down, MINUTES)]
    assert all(found == ([("MLJobOperatorDown", {})] if fires else []) for found in alerts)


def test_first_start_of_the_operator_fires_no_alert() -> None:
    assert [fired_after([0, 0, *[1] * up]) for up in range(10)] == [[]] * 10


def test_leader_that_only_prometheus_can_not_reach_fires_no_alert() -> None:
    series = {'up{pod="a"}': f"1x9 0x{MINUTES - 10}", 'up{pod="b"}': f"1x{MINUTES}"}
    leads = {'mljob_leader{pod="a"}': "1x9", 'mljob_leader{pod="b"}': f"0x{MINUTES}"}
    seen = {'mljob_leader_seen{pod="a"}': "1x9", 'mljob_leader_seen{pod="b"}': f"1x{MINUTES}"}
    assert promcheck.check(rules=ALERTS, series=scraped(series | leads | seen)).firing == []


def test_few_failures_fire_no_alert_about_a_team() -> None:
    two = f"0x{MINUTES - 20} 1x10 2x8"
    assert fired({FINISHED % ("Failed", "TaskFailed"): two, FINISHED % ("Succeeded", "Succeeded"): steady(1)}) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(("team-a", "mljob-operator"), ("team-b", "mljob-operator"), id="one name in two namespaces"),
        pytest.param(("mljob-system", "churn"), ("mljob-system", "fraud"), id="two shards of a namespace"),
    ],
)
def test_an_operator_that_is_well_hides_no_alert_of_another(
    render: Render, first: tuple[str, str], second: tuple[str, str]
) -> None:
    values = {"prometheusRule": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    lost, well = (render(values, namespace=namespace, release=name) for namespace, name in (first, second))
    series = [*scraped({"up": steady(0)}, job_of(lost)), *scraped(WELL, job_of(well))]

    found = promcheck.check(rules=rules_of(lost), series=series)
    assert (found.problems, found.firing) == ([], [("MLJobOperatorDown", {})])
    assert promcheck.check(rules=rules_of(well), series=series).firing == []


def rules_for(render: Render, operator: Mapping[str, Any]) -> str:
    """Return the alerts of a release with ``operator`` in its values, for the job of `scraped`."""
    return rules_of(render({"prometheusRule": {"enabled": True, "job": "mljob-operator"}, "operator": operator}))


LATE = ("mljob_event_to_status_seconds", "mljob_status_write_lag_seconds")


@pytest.mark.parametrize("pause", [0, 0.1, 2.5, 4, 5, 10, 20, 45, 60])
def test_the_pause_between_two_patches_is_not_late(render: Render, pause: float) -> None:
    rules = rules_for(render, {"statusIntervalSeconds": pause})
    in_time = observed(LATE[0], 1.01 * pause) | observed(LATE[1], 1.01 * pause)
    late = observed(LATE[0], 2.1 * max(2.5, pause)) | observed(LATE[1], 2.1 * max(2.5, pause))

    assert fired({**in_time, "mljob_events_in_flight": steady(900 * max(1, pause))}, rules) == []
    assert fired(late, rules) == [("MLJobStatusesLate", {}), ("MLJobWritesLate", {})]
    too_many = {"mljob_events_in_flight": steady(1100 * max(1, pause))}
    assert fired(too_many, rules) == [("MLJobStatusesNotWritten", {})]


FEED = 'mljob_feed_read_timestamp_seconds{airflow="prod"}'
RESYNCS = {outcome: f'mljob_resyncs_total{{airflow="prod",outcome="{outcome}"}}' for outcome in ("ok", "failed")}


@pytest.mark.parametrize("interval", [0.5, 5, 100.5, 600, 3600])
def test_the_pause_between_two_reads_of_the_feed_is_not_old(render: Render, interval: float) -> None:
    rules = rules_for(render, {"resyncIntervalSeconds": interval})
    reads = [int(minute * 60 // interval) for minute in range(MINUTES + 1)]
    in_time = " ".join(str(read * interval) for read in reads)
    counted = " ".join(str(read) for read in reads)

    assert fired({FEED: in_time, RESYNCS["ok"]: counted, RESYNCS["failed"]: steady(0)}, rules) == []
    assert fired({FEED: f"{-3 * interval}x{MINUTES}"}, rules) == [("MLJobFeedOld", AIRFLOW)]
    failing = {RESYNCS["ok"]: steady(0), RESYNCS["failed"]: counted}
    assert fired(failing, rules) == [("MLJobAirflowUnreadable", AIRFLOW)]
