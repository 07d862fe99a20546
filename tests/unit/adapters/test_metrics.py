from __future__ import annotations

import time

import pytest
from prometheus_client import generate_latest

from mljob_operator.adapters.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def everything(metrics: Metrics, airflow: str) -> None:
    """Record a value of each metric that has the label ``airflow``, except ``mljob_airflow_ready``."""
    metrics.airflow_request(airflow, "probe", "ok", 0.1)
    metrics.resync(airflow, "ok")
    metrics.runs_vanished(airflow, 0)
    metrics.orphaned_runs(airflow, 1)
    metrics.reservations(airflow, 2, 3)


def series(metrics: Metrics, airflow: str) -> set[str]:
    return {
        sample.name
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("airflow") == airflow
    }


def test_series_of_a_deleted_airflow_are_removed_and_the_others_stay(metrics: Metrics) -> None:
    for airflow in ("prod", "staging"):
        metrics.airflow_ready(airflow, True)
        everything(metrics, airflow)
    before = series(metrics, "staging")

    metrics.airflow_ready("prod", None)

    assert series(metrics, "prod") == set()
    assert b"prod" not in generate_latest(metrics.registry)
    assert series(metrics, "staging") == before
    labelled = {
        family.name for family in metrics.registry.collect() for sample in family.samples if "airflow" in sample.labels
    }
    assert len(labelled) == len(metrics._of_airflows), "a metric of an Airflow that is not told of above"


def test_late_requests_of_a_deleted_airflow_create_no_series(metrics: Metrics) -> None:
    metrics.airflow_ready("prod", True)
    metrics.airflow_ready("prod", None)

    everything(metrics, "prod")

    assert series(metrics, "prod") == set()


def test_new_airflow_with_the_name_of_a_deleted_one_has_series(metrics: Metrics) -> None:
    metrics.airflow_ready("prod", None)
    metrics.airflow_ready("prod", False)
    everything(metrics, "prod")
    assert {"mljob_airflow_ready", "mljob_resyncs_total", "mljob_airflow_active_runs"} <= series(metrics, "prod")


def test_standby_has_no_series_that_only_a_leader_keeps_up_to_date(metrics: Metrics) -> None:
    metrics.leader(True)
    metrics.airflow_ready("prod", True)
    metrics.reservations("prod", 3, 1)
    metrics.kafka_connected("airflow.events", True)
    metrics.kafka_lag("airflow.events", 7)
    metrics.resync("prod", "ok")
    assert metrics.registry.get_sample_value("mljob_leader") == 1

    metrics.stand_by()

    assert metrics.registry.get_sample_value("mljob_leader") == 0
    assert metrics.registry.get_sample_value("mljob_leader_seen") == 0
    assert series(metrics, "prod") == {"mljob_resyncs_total", "mljob_resyncs_created"}
    for gauge in (b"mljob_kafka_connected{", b"mljob_kafka_lag{"):
        assert gauge not in generate_latest(metrics.registry)


def test_counters_that_alerts_watch_begin_at_zero(metrics: Metrics) -> None:
    # Prometheus's increase() misses the first value of a series, so a series must not begin with 1.
    metrics.airflow_ready("prod", True)
    for name, labels in (
        ("mljob_events_total", {"outcome": "unreadable"}),
        ("mljob_resyncs_total", {"airflow": "prod", "outcome": "failed"}),
        ("mljob_events_disbelieved_total", {}),
        ("mljob_statuses_refused_total", {}),
    ):
        assert metrics.registry.get_sample_value(name, labels) == 0, name


def test_a_topic_that_is_not_read_any_more_has_no_series(metrics: Metrics) -> None:
    metrics.kafka_connected("airflow.events", True)
    metrics.kafka_lag("airflow.events", 12)
    assert metrics.registry.get_sample_value("mljob_kafka_lag", {"topic": "airflow.events"}) == 12

    metrics.kafka_connected("airflow.events", None)

    assert b"airflow.events" not in generate_latest(metrics.registry)


def test_feed_has_the_time_of_its_last_success(metrics: Metrics) -> None:
    metrics.resync("prod", "failed")
    name, labels = "mljob_feed_read_timestamp_seconds", {"airflow": "prod"}
    assert metrics.registry.get_sample_value(name, labels) is None

    before = time.time()
    metrics.resync("prod", "ok")
    metrics.resync("prod", "failed")

    read_at = metrics.registry.get_sample_value(name, labels)
    assert read_at is not None
    assert before <= read_at <= time.time()
