"""The metrics of MLJobs, by which a team sees how many of its jobs wait, run and fail, and how long
they take.

The number of series is limited. No series belongs to a single MLJob. The labels have at most
``MAX_NAMESPACES`` namespaces and ``MAX_REASONS`` reasons. The name of an AirflowInstance is a
label's value only while the AirflowInstance exists. The series of a deleted namespace or
AirflowInstance are removed.
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
    """Limits the number of different values of a metric's label: keeps the first ``limit`` values,
    and replaces every other value by ``OTHER``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: set[str] = set()

    def value(self, wanted: str) -> str:
        """Return ``wanted`` if it is one of the kept values, or if fewer than ``limit`` values are
        kept. In the second case, keep ``wanted`` too. Otherwise, return ``OTHER``.
        """
        if wanted not in self._values and len(self._values) >= self._limit:
            return OTHER
        self._values.add(wanted)
        return wanted

    def release(self, value: str) -> None:
        """Forget a value that no series has any more, so that another value can be kept."""
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
        """Return the metrics that count unfinished MLJobs. prometheus_client calls this method when
        Prometheus scrapes the operator. An MLJob is counted from a call of :meth:`follow` until a
        call of :meth:`forget` or :meth:`stand_by`. The call of ``collect`` also removes the series
        of unused namespaces (``UNUSED_AFTER``).
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
        """Count an unfinished MLJob with these labels from now on. The labels replace the labels of
        an earlier call for the same MLJob.
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
        """Record how long an attempt waited until Airflow had queued its run. The wait begins when
        the attempt is due. The first attempt is due when the MLJob is created, a later attempt when
        the previous attempt has ended. A suspension, a changed spec or a requested retry may make
        an attempt due later.
        """
        self._submission.labels(*self._values(labels)[:3]).observe(seconds, _exemplar(run_id))

    def queue_wait(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run was queued in Airflow before it started."""
        self._queue.labels(*self._values(labels)[:3]).observe(seconds, _exemplar(run_id))

    def run(self, labels: JobLabels, seconds: float, run_id: str) -> None:
        """Record how long a run took, from its start to its end."""
        self._run.labels(*self._values(labels)[:3]).observe(seconds, _exemplar(run_id))

    def duration(self, labels: JobLabels, phase: str, seconds: float, run_id: str) -> None:
        """Record how long an attempt took, from the time when the attempt was due (see
        :meth:`submission_wait`) until its end. ``phase`` is the phase with which the attempt ended.
        """
        self._duration.labels(*self._values(labels)[:3], phase).observe(seconds, _exemplar(run_id))

    def namespace_deleted(self, namespace: str) -> None:
        """Remove the series of a deleted namespace."""
        self._used_at.pop(namespace, None)
        self._namespaces.release(namespace)
        for metric in self._lasting:
            metric.remove_by_labels({"namespace": namespace})

    def airflow_exists(self, airflow: str) -> None:
        """From now on, count the MLJobs of an AirflowInstance with the value ``airflow`` (the name
        of the AirflowInstance) for the label ``airflow``. Until now, the value of the label was
        ``OTHER``.
        """
        self._airflows.add(airflow)

    def airflow_deleted(self, airflow: str) -> None:
        """Remove the series of an AirflowInstance. From now on, MLJobs of the AirflowInstance are
        counted with the value ``OTHER`` for the label ``airflow``.
        """
        self._airflows.discard(airflow)
        for metric in self._lasting:
            metric.remove_by_labels({"airflow": airflow})

    def stand_by(self) -> None:
        """Forget the unfinished MLJobs and the AirflowInstances, because this process is not the
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
        """Return the values of the labels namespace, type, airflow, phase and reason, in this
        order. ``OTHER`` replaces each namespace and each reason beyond the maximum number, and the
        name of an AirflowInstance that does not exist.
        """
        namespace = self._namespaces.value(labels.namespace)
        self._used_at[namespace] = self._clock()
        airflow = labels.airflow if labels.airflow in self._airflows else OTHER
        return namespace, labels.type, airflow, labels.phase, self._reasons.value(labels.reason)

    def _forget_unused(self) -> None:
        """Remove the series of each namespace that was not used for ``UNUSED_AFTER`` seconds. Each
        recorded value uses its namespace, and at each scrape every unfinished MLJob uses its
        namespace.
        """
        before = self._clock() - UNUSED_AFTER
        for namespace in [namespace for namespace, used_at in self._used_at.items() if used_at < before]:
            self.namespace_deleted(namespace)


def _exemplar(run_id: str) -> dict[str, str] | None:
    """Return an exemplar with the run's id, or None if the id is too long for an exemplar."""
    return {"run_id": run_id} if len("run_id") + len(run_id) <= MAX_EXEMPLAR else None
