"""The metrics of MLJobs: how many jobs wait, run and fail, and how long they take.

The number of series is limited, because no series belongs to a single MLJob. At most
``MAX_NAMESPACES`` namespaces and ``MAX_REASONS`` reasons have their own series. The series of a
deleted namespace or AirflowInstance are removed.
"""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from ..core.mljob.resource.job_labels import JobLabels
from ..core.run.run_key import SETTINGS_AIRFLOW, Key

MAX_NAMESPACES = 500
MAX_REASONS = 100
"""The maximum number of values of the label ``namespace`` (``MAX_NAMESPACES``) and of the label
``reason`` (``MAX_REASONS``).
"""
OTHER = "_other"
"""The value of a label that replaces all values after the maximum number of values. No object in
Kubernetes has this name.
"""
UNUSED_AFTER = 48 * 3600.0
"""Seconds after which the series of a namespace without unfinished MLJobs are removed. An operator
without the right to watch namespaces does not learn that a namespace is deleted. A namespace with
nightly MLJobs keeps its series.
"""
MAX_EXEMPLAR = 128
"""The maximum number of characters in the labels of an exemplar (OpenMetrics 1.0)."""

_WAITS = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
_RUNS = (10, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 259_200)
_STATIC = ("namespace", "type", "airflow")


class BoundedLabel:
    """Limits the number of different values of a metric's label. The first ``limit`` values stay,
    and ``OTHER`` replaces every other value.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: set[str] = set()

    def value(self, wanted: str) -> str:
        """Return ``wanted``, or ``OTHER`` if the label has ``limit`` other values already."""
        if wanted not in self._values and len(self._values) >= self._limit:
            return OTHER
        self._values.add(wanted)
        return wanted

    def release(self, value: str) -> None:
        """Forget ``value``, so that a new value can take the place of ``value``. Call this method
        when no series has ``value`` any more.
        """
        self._values.discard(value)


class JobMetrics(Collector):
    """Records the metrics of MLJobs, and exports them to Prometheus.

    Args:
        registry: The registry that gets the metrics.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._followed: dict[Key, JobLabels] = {}
        self._counts: Count[JobLabels] = Count()
        self._used_at: dict[str, float] = {}
        self._namespaces = BoundedLabel(MAX_NAMESPACES)
        self._reasons = BoundedLabel(MAX_REASONS)
        self._airflows = {SETTINGS_AIRFLOW}
        registry.register(self)
        self._finished = Counter(
            "mljob_jobs_finished",
            "MLJobs that ended, by phase and reason",
            [*_STATIC, "phase", "reason"],
            registry=registry,
        )
        self._submission = self._histogram(
            registry, "mljob_job_submission_wait_seconds", "From the time when an attempt was due to its run", _WAITS
        )
        self._queue = self._histogram(
            registry, "mljob_job_queue_wait_seconds", "From the queued run to its start in Airflow", _WAITS
        )
        self._run = self._histogram(registry, "mljob_job_run_seconds", "From the start of a run to its end", _RUNS)
        self._duration = self._histogram(
            registry,
            "mljob_job_duration_seconds",
            "From the time when an attempt was due to its end, by the attempt's phase",
            _RUNS,
            "phase",
        )
        self._lasting: tuple[MetricWrapperBase, ...] = (
            self._finished,
            self._submission,
            self._queue,
            self._run,
            self._duration,
        )

    @staticmethod
    def _histogram(
        registry: CollectorRegistry, name: str, words: str, buckets: tuple[int, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, words, [*_STATIC, *labels], buckets=buckets, registry=registry)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics of :meth:`collect`, without samples."""
        return self._gauges()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics that count unfinished MLJobs. prometheus_client calls this method for
        each scrape. The call also removes the series of each namespace that has had no unfinished
        MLJob for ``UNUSED_AFTER`` seconds (48 hours).
        """
        shown: Count[tuple[str, ...]] = Count()
        for labels, number in self._counts.items():
            shown[self._values(labels)] += number
        self._forget_unused()
        live, jobs = self._gauges()
        live.add_metric([], len(self._followed))
        for values, number in shown.items():
            jobs.add_metric(values, number)
        return live, jobs

    def follow(self, key: Key, labels: JobLabels) -> None:
        """Count an unfinished MLJob from now on. ``labels`` replace the labels of an earlier call
        for this MLJob.
        """
        if self._followed.get(key) != labels:
            self.forget(key)
            self._followed[key] = labels
            self._counts[labels] += 1

    def forget(self, key: Key) -> None:
        """Stop counting an MLJob as unfinished, because it has finished or no longer exists."""
        labels = self._followed.pop(key, None)
        if labels is None:
            return
        self._counts[labels] -= 1
        if not self._counts[labels]:
            del self._counts[labels]

    def finished(self, labels: JobLabels) -> None:
        """Count the end of an MLJob. An MLJob is counted again if it ends again after a retry."""
        self._finished.labels(*self._values(labels)).inc()

    def submission_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long an attempt waited until Airflow had queued its run. The wait of the first
        attempt begins when the MLJob is created. The wait of a later attempt begins when the
        previous attempt has ended. A suspension, a changed spec or a requested retry may postpone
        the beginning of the wait.
        """
        self._submission.labels(*self._values(labels)[:3]).observe(seconds, _exemplar(run_id))

    def queue_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run was queued in Airflow before it started."""
        self._queue.labels(*self._values(labels)[:3]).observe(seconds, _exemplar(run_id))

    def run(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run took, from its start to its end."""
        self._run.labels(*self._values(labels)[:3]).observe(seconds, _exemplar(run_id))

    def duration(self, labels: JobLabels, phase: str, seconds: float, run_id: str) -> None:
        """Record how long an attempt took, including the wait of :meth:`submission_wait`. ``phase``
        is the phase with which the attempt ended.
        """
        self._duration.labels(*self._values(labels)[:3], phase).observe(seconds, _exemplar(run_id))

    def namespace_deleted(self, namespace: str) -> None:
        """Remove the series of a deleted namespace."""
        self._used_at.pop(namespace, None)
        self._namespaces.release(namespace)
        for metric in self._lasting:
            metric.remove_by_labels({"namespace": namespace})

    def airflow_exists(self, airflow: str) -> None:
        """Record that an AirflowInstance exists. From now on, the metrics of MLJobs in this
        AirflowInstance have its name in the label ``airflow``. Before this call, they have
        ``OTHER`` there.
        """
        self._airflows.add(airflow)

    def airflow_deleted(self, airflow: str) -> None:
        """Remove the series of an AirflowInstance. From now on, the label ``airflow`` of its MLJobs
        is ``OTHER``.
        """
        self._airflows.discard(airflow)
        for metric in self._lasting:
            metric.remove_by_labels({"airflow": airflow})

    def stand_by(self) -> None:
        """Forget all AirflowInstances and all unfinished MLJobs, because this process is not the
        leader any more.
        """
        self._followed.clear()
        self._counts.clear()
        self._airflows = {SETTINGS_AIRFLOW}

    @staticmethod
    def _gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("mljob_jobs_live", "MLJobs that are not finished"),
            GaugeMetricFamily(
                "mljob_jobs", "MLJobs that are not finished, by phase and reason", labels=[*_STATIC, "phase", "reason"]
            ),
        )

    def _values(self, labels: JobLabels) -> tuple[str, ...]:
        """Return the values of the labels namespace, type, airflow, phase and reason. ``OTHER``
        replaces two kinds of values: namespaces and reasons beyond their maximum numbers, and names
        of AirflowInstances that don't exist.
        """
        namespace = self._namespaces.value(labels.namespace)
        self._used_at[namespace] = self._clock()
        airflow = labels.airflow if labels.airflow in self._airflows else OTHER
        return namespace, labels.type, airflow, labels.phase, self._reasons.value(labels.reason)

    def _forget_unused(self) -> None:
        before = self._clock() - UNUSED_AFTER
        for namespace in [namespace for namespace, used_at in self._used_at.items() if used_at < before]:
            self.namespace_deleted(namespace)


def _exemplar(run_id: str) -> dict[str, str] | None:
    return {"run_id": run_id} if len("run_id") + len(run_id) <= MAX_EXEMPLAR else None
