from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from mljob_operator.adapters.job_metrics import MAX_NAMESPACES, MAX_REASONS, OTHER, UNUSED_AFTER, JobMetrics
from mljob_operator.adapters.metrics import Metrics
from mljob_operator.core.mljob.resource.job_labels import JobLabels

RUNNING = JobLabels("team-a", "Training", "Running", "TaskRunning", "prod")
SUCCEEDED = replace(RUNNING, phase="Succeeded", reason="Succeeded")
RUN = "mljob.team-a.churn.n3s7nmusm7-1"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def jobs(registry: CollectorRegistry, clock: Clock) -> JobMetrics:
    metrics = JobMetrics(registry, clock)
    metrics.airflow_exists("prod")
    return metrics


def shown(registry: CollectorRegistry, name: str = "mljob_jobs", label: str = "namespace") -> dict[str, float]:
    """Return the sum of a metric's series for each value of ``label``."""
    found: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels[label]] = found.get(sample.labels[label], 0) + sample.value
    return found


def record_all(jobs: JobMetrics, labels: JobLabels) -> None:
    """Record a value in each metric whose series stay after the MLJob is deleted."""
    jobs.finished(labels)
    jobs.submission_wait(labels, 1, RUN)
    jobs.queue_wait(labels, 1, RUN)
    jobs.run(labels, 1, RUN)
    jobs.duration(labels, "Succeeded", 1, RUN)


def test_an_mljob_counts_once_by_its_newest_labels(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    jobs.follow(("team-a", "churn"), replace(RUNNING, phase="Queued", reason="Queued"))
    jobs.follow(("team-a", "churn"), RUNNING)
    jobs.follow(("team-a", "digits"), RUNNING)

    assert shown(registry, label="phase") == {"Running": 2}
    assert registry.get_sample_value("mljob_jobs_live") == 2
    labels = {"namespace": "team-a", "type": "Training", "airflow": "prod", "phase": "Running", "reason": "TaskRunning"}
    assert registry.get_sample_value("mljob_jobs", labels) == 2


def test_series_without_mljobs_disappear(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    jobs.follow(("team-a", "churn"), RUNNING)
    jobs.forget(("team-a", "churn"))
    jobs.forget(("team-a", "never-there"))

    assert shown(registry) == {}
    assert registry.get_sample_value("mljob_jobs_live") == 0


def test_ends_are_counted_by_phase_and_reason(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    jobs.finished(SUCCEEDED)
    jobs.finished(replace(SUCCEEDED, phase="Failed", reason="TaskFailed"))

    assert shown(registry, "mljob_jobs_finished_total", "reason") == {"Succeeded": 1, "TaskFailed": 1}


@pytest.mark.parametrize("removed", ["namespace", "airflow"])
def test_series_of_a_deleted_namespace_or_airflow_are_removed(
    jobs: JobMetrics, registry: CollectorRegistry, removed: str
) -> None:
    kept = replace(SUCCEEDED, namespace="team-b", airflow="staging")
    jobs.airflow_exists("staging")
    record_all(jobs, SUCCEEDED)
    record_all(jobs, kept)

    if removed == "namespace":
        jobs.namespace_deleted("team-a")
    else:
        jobs.airflow_deleted("prod")

    exposed = generate_latest(registry).decode()
    assert "team-a" not in exposed.replace(RUN, "")
    assert '"prod"' not in exposed
    for metric in jobs._lasting:
        assert any(sample.labels["namespace"] == "team-b" for family in metric.collect() for sample in family.samples)


def test_mljobs_of_a_deleted_airflow_are_counted_without_its_name(
    jobs: JobMetrics, registry: CollectorRegistry
) -> None:
    jobs.follow(("team-a", "churn"), RUNNING)
    jobs.airflow_deleted("prod")
    jobs.finished(SUCCEEDED)

    assert shown(registry, label="airflow") == {OTHER: 1}
    assert shown(registry, "mljob_jobs_finished_total", "airflow") == {OTHER: 1}

    jobs.airflow_exists("prod")
    assert shown(registry, label="airflow") == {"prod": 1}


def test_an_airflow_that_does_not_exist_makes_no_series(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    for number in range(50):
        jobs.follow(("team-a", f"job-{number}"), replace(RUNNING, airflow=f"typo-{number}"))

    assert shown(registry, label="airflow") == {OTHER: 50}


def test_deleting_an_airflow_instance_removes_its_series_of_mljobs() -> None:
    metrics = Metrics()
    metrics.jobs.airflow_exists("prod")
    record_all(metrics.jobs, SUCCEEDED)

    metrics.airflow_ready("prod", None)

    assert b'"prod"' not in generate_latest(metrics.registry)


def test_namespaces_and_reasons_are_bounded(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    for number in range(MAX_NAMESPACES + 20):
        jobs.finished(replace(SUCCEEDED, namespace=f"ns-{number}"))
    for number in range(MAX_REASONS + 20):
        jobs.follow(("ns-0", f"job-{number}"), replace(RUNNING, namespace="ns-0", reason=f"Reason{number}"))

    namespaces = shown(registry, "mljob_jobs_finished_total")
    assert len(namespaces) == MAX_NAMESPACES + 1
    assert namespaces[OTHER] == 20
    assert len(shown(registry, label="reason")) <= MAX_REASONS + 1


def test_a_deleted_namespace_makes_room_for_another(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    for number in range(MAX_NAMESPACES):
        jobs.finished(replace(SUCCEEDED, namespace=f"ns-{number}"))
    jobs.namespace_deleted("ns-0")
    jobs.finished(replace(SUCCEEDED, namespace="new"))

    assert shown(registry, "mljob_jobs_finished_total")["new"] == 1


def test_series_of_an_unused_namespace_are_removed(jobs: JobMetrics, registry: CollectorRegistry, clock: Clock) -> None:
    jobs.finished(replace(SUCCEEDED, namespace="gone"))
    jobs.finished(SUCCEEDED)
    jobs.follow(("team-a", "long"), RUNNING)

    clock.seconds += UNUSED_AFTER
    assert "gone" in shown(registry, "mljob_jobs_finished_total")
    clock.seconds += 1
    shown(registry)

    assert set(shown(registry, "mljob_jobs_finished_total")) == {"team-a"}


def test_durations_have_the_run_as_exemplar(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    record_all(jobs, SUCCEEDED)

    exposed = generate_latest(registry).decode()
    for name in ("submission_wait", "queue_wait", "run", "duration"):
        buckets = [line for line in exposed.splitlines() if line.startswith(f"mljob_job_{name}_seconds_bucket")]
        assert any(f'# {{run_id="{RUN}"}} 1.0' in line for line in buckets), name


def test_a_run_id_that_is_too_long_is_no_exemplar(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    jobs.run(SUCCEEDED, 1, "x" * 123)
    assert b"run_id" not in generate_latest(registry)
    jobs.run(SUCCEEDED, 1, "x" * 122)
    assert b"run_id" in generate_latest(registry)


def test_standby_counts_no_mljobs_and_keeps_what_has_ended(jobs: JobMetrics, registry: CollectorRegistry) -> None:
    jobs.follow(("team-a", "churn"), RUNNING)
    jobs.finished(SUCCEEDED)

    jobs.stand_by()

    assert shown(registry) == {}
    assert registry.get_sample_value("mljob_jobs_live") == 0
    assert shown(registry, "mljob_jobs_finished_total") == {"team-a": 1}
