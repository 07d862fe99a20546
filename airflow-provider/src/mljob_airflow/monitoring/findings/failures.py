"""Finds recurring failures: a task that fails with the same error in several of its last runs.

A run counts as one failure of a task, even if several instances of a mapped task fail in the run.

Airflow gives a task instance the state ``failed`` too if its run is cancelled. Such a task instance
is no failure, and its run is none of the task's last runs. A cancelled task instance has one of
these signs:

- It has not started.
- Its note names the cancellation (:mod:`mljob_contract.cancellation_note`).
- Its log says that Airflow stopped the task (:data:`.STOPPED`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mljob_airflow.monitoring.findings.fingerprints import STOPPED, ErrorText
from mljob_airflow.monitoring.findings.mljobs import finding_fields
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag, TaskInstance
from mljob_contract.reports import Finding, FindingKind, Severity

UNKNOWN = "unknown"
"""The ``variant`` of a finding about failures of which no error was read. Findings about the same
task differ in their ``variant``.
"""
ENDED = ("success", "failed", "skipped")
"""The states of the task instances that are a task's last runs. A run whose task has not ended yet
is no last run. Neither is a run in which Airflow did not start the task, because an upstream task
failed.
"""


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures in a task's last runs."""

    dag: Dag
    task_id: str
    run_ids: Sequence[str]
    """The last runs, newest first."""
    failed: Sequence[TaskInstance]
    """One failed instance for each run in which the task failed, newest first."""
    errors: dict[str, ErrorText | None] = field(default_factory=dict)
    """The errors in the logs that were read, by run id. ``None`` means that the log has no error, or
    can't be read.
    """


def candidates(failed: Iterable[TaskInstance], *, times: int) -> list[tuple[str, str]]:
    """Return the tasks that failed in at least ``times`` runs, as pairs of DAG id and task id. The
    tasks with the most failed runs come first.
    """
    runs: dict[tuple[str, str], set[str]] = {}
    for instance in failed:
        if _has_ended_itself(instance):
            runs.setdefault((instance.dag_id, instance.task_id), set()).add(instance.run_id)
    often = [task for task, ids in runs.items() if len(ids) >= times]
    return sorted(often, key=lambda task: (-len(runs[task]), task))


def last_runs(
    dag: Dag, task_id: str, history: Sequence[TaskInstance], failed: Iterable[TaskInstance], *, runs: int
) -> Failures:
    """Return the failures in the task's last runs. The caller fills in the field ``errors`` of the
    result.

    Args:
        dag: The task's DAG.
        task_id: The task.
        history: The task's last instances in the states :data:`ENDED`, newest first. Of a mapped
            task, the history has only the first instance of each run.
        failed: Failed instances of the task, which the history may lack.
        runs: How many of the task's last runs to consider.
    """
    run_ids = list(dict.fromkeys(instance.run_id for instance in history if _has_ended_itself(instance)))[:runs]
    failed_instances = {
        instance.run_id: instance
        for instance in (*failed, *history)
        if instance.state == "failed" and _has_ended_itself(instance)
    }
    return Failures(
        dag, task_id, run_ids, [failed_instances[run_id] for run_id in run_ids if run_id in failed_instances]
    )


def recurring(failures: Failures, links: Links, *, times: int) -> list[Finding]:
    """Return a finding for each error that occurred in at least ``times`` of the task's last runs.

    If there is no such error, but the errors of at least ``times`` runs can't be read, return one
    finding about these failures. If the logs of some failures were not read, return a finding about
    the most frequent error if this error may have occurred in ``times`` runs.
    """
    stopped = {run_id for run_id, error in failures.errors.items() if error == STOPPED}
    failures = replace(
        failures,
        run_ids=[run_id for run_id in failures.run_ids if run_id not in stopped],
        failed=[instance for instance in failures.failed if instance.run_id not in stopped],
    )
    groups: dict[str, list[TaskInstance]] = {}
    texts: dict[str, ErrorText] = {}
    unknown: list[TaskInstance] = []
    unread = [instance for instance in failures.failed if instance.run_id not in failures.errors]
    for instance in failures.failed:
        if instance.run_id not in failures.errors:
            continue
        error = failures.errors[instance.run_id]
        if error is None:
            unknown.append(instance)
        else:
            groups.setdefault(error.fingerprint, []).append(instance)
            texts.setdefault(error.fingerprint, error)
    found = [
        _finding(failures, instances, fingerprint, str(texts[fingerprint]), links)
        for fingerprint, instances in groups.items()
        if len(instances) >= times
    ]
    if not found and len(unknown) >= times:
        text = "The errors could not be read: the logs have no exception, or can't be reached."
        found.append(_finding(failures, unknown, UNKNOWN, text, links))
    elif not found and unread:
        # With the fingerprint of an error that was read, the finding keeps its key when a later
        # report reads all logs.
        fingerprint, same = max(groups.items(), key=lambda group: len(group[1]), default=(UNKNOWN, unknown))
        possible = [instance for instance in failures.failed if instance in same or instance in unread]
        if len(possible) >= times:
            text = "The logs of the failures were not read."
            if same:
                error_text = str(texts.get(fingerprint, "no error in the log"))
                text = f"{error_text} (in {len(same)} of {len(possible)} failures; the other logs were not read)"
            found.append(_finding(failures, possible, fingerprint, text, links))
    return found


def _has_ended_itself(instance: TaskInstance) -> bool:
    return instance.try_number > 0 and not instance.is_cancelled


def _finding(failures: Failures, instances: Sequence[TaskInstance], variant: str, text: str, links: Links) -> Finding:
    dag_id, newest = failures.dag.dag_id, instances[0]
    every = len(instances) == len(failures.run_ids)
    return Finding(
        kind=FindingKind.RECURRING_FAILURE,
        subject=f"{dag_id}.{failures.task_id}",
        variant=variant,
        severity=Severity.CRITICAL if every else Severity.WARNING,
        owners=failures.dag.owners,
        title=f"{dag_id}.{failures.task_id} failed in {len(instances)} of its last {len(failures.run_ids)} runs",
        dag_id=dag_id,
        task_id=failures.task_id,
        since=min((instance.end for instance in instances if instance.end), default=None),
        url=links.task_instance(dag_id, newest.run_id, failures.task_id, newest.map_index),
        **finding_fields(
            (instance.run_id for instance in instances),
            text,
            {"failures": len(instances), "runs": len(failures.run_ids)},
        ),
    )
