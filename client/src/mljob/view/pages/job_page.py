"""The page of one MLJob: its state, its progress and its failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from mljob_contract.graph import RunGraph
from mljob_contract.history import MetricsReport, TaskChange
from mljob_contract.mljob import MLJobStatus, TaskStatus

from ...render.rows import retry_notice
from ...render.waits import waits_for_run
from ...resource import MLJob
from ...verdict import retry_waits
from .actions import Action, actions_for
from .curves import MAX_CURVES, MAX_LINES, Curve, Series, by_instance, curve, instance_name, series_of
from .gantt import Gantt, gantt
from .graph_page import DrawnGraph, draw_graph
from .job_tab import tab_query
from .marks import Mark, condition_mark, phase_mark
from .occurrences import KubeEvent, Occurrence, newest
from .outside_text import MAX_VALUE, cut, is_web_link, items_of, mapping_of, text_of, time_of

_PROBLEM_IF: Final = {"Failed": "True", "Stalled": "True", "UnknownParams": "True", "SpecApplied": "False"}
"""The status with which a condition reports a problem."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """The data from which the page of an MLJob is made.

    Attributes:
        graph: The graph of the run, or None if the graph has not been read.
        changes: State changes of tasks, from the run's history.
        reports: Metrics that tasks reported, from the run's history. If the history can't be read,
            from the status.
        events: The Kubernetes Events about the MLJob. Empty while the tab of the Events is closed.
        log_tail: The lines of the failed task's log that explain the failure.
        notices: Sentences about data that could not be read, with the reason.
    """

    job: MLJob
    now: datetime
    graph: RunGraph | None = None
    changes: Sequence[TaskChange] = ()
    reports: Sequence[MetricsReport] = ()
    events: Sequence[KubeEvent] = ()
    log_tail: Sequence[str] = ()
    notices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an MLJob failed: the failed task, the task's error, and the log lines that explain the
    error.
    """

    task: str
    error: str
    tail: tuple[str, ...]
    log_url: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of the MLJob: the current attempt, or an earlier attempt that has ended."""

    number: int
    mark: Mark
    reason: str
    message: str
    progress: str
    started_at: datetime | None
    ended_at: datetime | None
    run: str


@dataclass(frozen=True, slots=True)
class NamedValue:
    """An output, or a value in the conf. A long ``text`` is cut. If the text is the URL of a web
    page, ``link`` is the whole URL.
    """

    name: str
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class JobPage:
    """The content of the page of an MLJob. ``curves`` is empty while the tab Metrics is closed, and
    ``events`` is empty while the tab Events is closed.
    """

    namespace: str
    name: str
    uid: str
    type: str
    dag_id: str
    mark: Mark
    sentence: str
    reason: str
    run_url: str
    run_id: str
    airflow: str
    percent: int | None
    progress: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    is_deleting: bool
    actions: tuple[Action, ...]
    failure: Failure | None
    graph: DrawnGraph | None
    gantt: Gantt
    tasks_omitted: int
    curves: tuple[Curve, ...]
    outputs: tuple[NamedValue, ...]
    outputs_omitted: tuple[str, ...]
    conf: tuple[NamedValue, ...]
    conf_from: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    conditions: tuple[Occurrence, ...]
    events: tuple[Occurrence, ...]
    questions: tuple[TaskStatus, ...]
    notices: tuple[str, ...] = field(default=())

    @property
    def is_moving(self) -> bool:
        """Whether the run has started but has not ended. Until the end of the run, the bars of
        running tasks in the Gantt chart grow.
        """
        return self.ended_at is None and self.started_at is not None


def job_page(given: JobInput) -> JobPage:
    """Return the content of the page of an MLJob.

    Raises:
        InvalidResource: The MLJob does not fit the client's model. For example, the CRD in the
            cluster has another version than the client.
    """
    job = given.job
    spec, status = job.spec, job.status
    tasks = status.tasks or []
    waits = retry_waits(job)
    return JobPage(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        type=spec.type,
        dag_id=status.dag_id or spec.dag_id,
        mark=phase_mark(job.phase, retry_waits=waits),
        sentence=cut(f"{retry_notice(job)} {job.sentence}" if waits else job.sentence)
        or "No operator has read this MLJob yet.",
        reason=job.reason,
        run_url=_link(status.dag_run_url),
        run_id=status.dag_run_id or "",
        airflow=status.airflow_instance or "",
        percent=status.percent,
        progress=status.progress or "",
        created_at=job.created_at,
        started_at=None if waits_for_run(job) else status.start_time,
        ended_at=status.completion_time,
        is_deleting=job.is_being_deleted,
        actions=actions_for(job),
        failure=_failure(status, given.log_tail),
        graph=draw_graph(given.graph, tasks, lambda task: tab_query("logs", task=task)) if given.graph else None,
        gantt=gantt(tasks, given.changes, given.now),
        tasks_omitted=status.tasks_omitted or 0,
        curves=_curves(given.reports),
        outputs=named_values(status.outputs or {}),
        outputs_omitted=tuple(cut(name, 200) for name in (status.outputs_omitted or [])[:50]),
        conf=named_values(spec.conf),
        conf_from=_conf_from(job.raw_spec),
        attempts=_attempts(status, job),
        conditions=_conditions(job),
        events=newest(given.events),
        questions=tuple(task for task in tasks if task.input is not None),
        notices=tuple(given.notices),
    )


def failed_task(status: MLJobStatus) -> TaskStatus | None:
    """Return the task that failed first. In the status of a failed MLJob, ``currentTask`` has the
    id of this task. Return None if the MLJob has not failed, or if the status lacks this task.
    """
    if status.phase != "Failed" or not status.current_task:
        return None
    return next((task for task in status.tasks or () if task.task_id == status.current_task), None)


def _link(url: str | None) -> str:
    return url if url and is_web_link(url) else ""


def _failure(status: MLJobStatus, tail: Sequence[str]) -> Failure | None:
    task = failed_task(status)
    if task is None:
        return None
    error = task.error
    kind = f"{error.type}: " if error is not None and error.type else ""
    return Failure(
        task=task.task_id,
        error=cut(f"{kind}{error.message}" if error is not None else "Airflow reports no error text."),
        tail=tuple(tail[-20:]),
        log_url=_link(task.log_url),
    )


def _curves(reports: Sequence[MetricsReport]) -> tuple[Curve, ...]:
    curves = (one for task, instances in by_instance(reports).items() for one in _curves_of_task(task, instances))
    # A run may have thousands of curves, and each takes time, so no more are made than are shown.
    return tuple(islice(curves, MAX_CURVES))


def _curves_of_task(task: str, instances: Mapping[int, Sequence[MetricsReport]]) -> Iterator[Curve]:
    """Yield a :class:`.Curve` for each metric that at least one of the first :data:`MAX_LINES`
    instances of a task has reported. The Curve has a line for each of these instances that has
    reported the metric.
    """
    by_metric: dict[tuple[str, str], list[Series]] = {}
    for index, found in islice(instances.items(), MAX_LINES):
        for key, series in series_of(found, instance_name(task, index)).items():
            by_metric.setdefault(key, []).append(series)
    omitted = max(0, len(instances) - MAX_LINES)
    for (name, axis), lines in by_metric.items():
        if (drawn := curve(name, axis, lines, omitted)) is not None:
            yield drawn


def named_values(values: Mapping[str, Any]) -> tuple[NamedValue, ...]:
    """Return a :class:`NamedValue` for each of the first 200 entries of ``values``. A value that is
    not a string becomes JSON. Values are cut to
    :data:`~mljob.view.pages.outside_text.MAX_VALUE` characters, and names to 120 characters.
    """
    found = []
    for name, value in list(values.items())[:200]:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        found.append(NamedValue(cut(name, 120), cut(text, MAX_VALUE), text if is_web_link(text) else ""))
    return tuple(found)


def _conf_from(spec: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = {"configMapRef": "ConfigMap", "secretRef": "Secret", "outputsRef": "outputs of MLJob"}
    return tuple(
        f"{words} {text_of(mapping_of(source[kind]).get('name'), 253)}"
        for source in items_of(spec.get("confFrom"))
        for kind, words in kinds.items()
        if kind in source
    )


def _attempts(status: MLJobStatus, job: MLJob) -> tuple[Attempt, ...]:
    if status.attempts is None:
        return ()
    ended = [
        Attempt(one.attempt, phase_mark(one.phase), one.reason, cut(one.message), one.progress or "", one.start_time, one.completion_time, one.dag_run_id)
        for one in status.history or ()
    ]  # fmt: skip
    current = Attempt(
        status.attempts, phase_mark(job.phase), status.reason or "", cut(job.sentence), status.progress or "",
        status.start_time, status.completion_time, status.dag_run_id or "",
    )  # fmt: skip
    earlier = [one for one in ended if one.number != current.number]
    return (current, *sorted(earlier, key=lambda one: -one.number))


def _conditions(job: MLJob) -> tuple[Occurrence, ...]:
    return tuple(
        Occurrence(
            condition_mark(
                text_of(one.get("status"), 10), good="True" if kind == "Complete" else "", bad=_PROBLEM_IF.get(kind, "")
            ),
            cut(kind, 60),
            text_of(one.get("message")),
            time_of(one.get("lastTransitionTime")),
        )
        for kind, one in list(job.conditions.items())[:50]
    )
