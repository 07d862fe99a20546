"""Orphaned runs: runs in progress that the operator has submitted and that no MLJob follows.

A submission may take effect after the operator has stopped waiting for its answer, when its MLJob
was deleted or has another attempt. Or the operator has given up a cancellation
(CancellationAbandoned). In both cases the Kubernetes API has no trace of the run, and only
Airflow's list of active runs shows it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mljob_contract.run_id import RunId

from .mljob import attempts
from .mljob.identity import dag_run_id, pin
from .mljob.job import Job
from .run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from .status.events import WARNING, KubeEvent

SEEN_FOR = timedelta(seconds=60)
"""How long censuses have to list a run that no known MLJob follows before the operator asks the API
server for the MLJob. By then, the watch has reported the MLJob of a run that was just submitted.
"""


def note(key: Key) -> str:
    """The note of a run that is submitted for an MLJob. The run id is not enough to recognise such
    a run: somebody may have given a run of another DAG the same id.
    """
    return f"MLJob {key[0]}/{key[1]}"


def note_of_retained(key: Key) -> str:
    """The note of a run that continues after the deletion of its MLJob with ``deletionPolicy:
    Retain``. Such a run is not orphaned.
    """
    return f"{note(key)}, deleted with deletionPolicy Retain"


def follows(job: Job, run: RunKey) -> bool:
    """Whether an MLJob follows a run, or is about to.

    It follows the run of its attempt, the run that its first attempt will take over, and an earlier
    attempt's run that somebody has cleared in Airflow. The name of the Airflow doesn't count: two
    AirflowInstances may lead to one Airflow, and each lists the runs of both.
    """
    attempt = attempts.current(job.status)
    if attempt is None:
        parsed = RunId.parse(run.run_id)
        return parsed is not None and parsed.digest == dag_run_id(parsed.prefix, *job.key, pin(job)).digest
    if (run.dag_id, run.run_id) == (attempt.dag_id, attempt.run_id):
        return True
    # An entry without a start time: its run had not begun when the attempt ended, so it was
    # submitted late and is not followed.
    return any(entry.dag_run_id == run.run_id and entry.start_time is not None for entry in job.status.history or ())


def reported(run: RunKey, key: Key, *, cancelled: bool) -> KubeEvent:
    """The Event about an orphaned run."""
    where = (
        f"AirflowInstance {run.airflow}"
        if run.airflow != SETTINGS_AIRFLOW
        else "the Airflow of the operator's settings"
    )
    what_next = (
        "The operator cancels it."
        if cancelled
        else "Cancel it in Airflow, or set operator.orphanedRuns to Cancel in the chart's values so that the operator cancels orphaned runs."
    )
    return KubeEvent(
        WARNING,
        "OrphanedRun",
        f"Run {run.run_id} of DAG {run.dag_id} is in progress in {where}, and no MLJob follows it: MLJob {key[0]}/{key[1]} was deleted or has another run. "
        f"The submission reached Airflow late, or the operator gave up cancelling the run. {what_next}",
    )


@dataclass(slots=True)
class Suspects:
    """Runs of one Airflow that may be orphaned.

    Attributes:
        since: When a census first listed each run, or when the API server last said that an MLJob
            follows it.
        orphaned: The runs that no MLJob follows, as the API server says.
        tried: When the cancellation of each orphaned run was last tried.
    """

    since: dict[RunKey, datetime] = field(default_factory=dict)
    orphaned: set[RunKey] = field(default_factory=set)
    tried: dict[RunKey, datetime] = field(default_factory=dict)

    def listed(self, runs: Collection[RunKey], at: datetime) -> list[RunKey]:
        """Note the runs that a census listed and that no known MLJob follows. Returns the runs
        whose MLJob the API server is to be asked for, the longest suspected first.
        """
        self.since = {run: self.since.get(run, at) for run in runs}
        self.orphaned &= self.since.keys()
        self.tried = {run: tried for run, tried in self.tried.items() if run in self.orphaned}
        due = [run for run, since in self.since.items() if at - since >= SEEN_FOR and run not in self.orphaned]
        return sorted(due, key=lambda run: self.since[run])

    def next_to_end(self, most: int, at: datetime) -> list[RunKey]:
        """The orphaned runs to cancel now, at most ``most``. Runs whose cancellation was tried come
        last, because it may be impossible.
        """
        found = sorted(self.orphaned, key=lambda run: (run in self.tried, self.tried.get(run, at), run))[:most]
        self.tried |= dict.fromkeys(found, at)
        return found

    def clear(self, run: RunKey, at: datetime) -> None:
        """Note that an MLJob follows the run, as the API server says."""
        self.orphaned.discard(run)
        self.since[run] = at
