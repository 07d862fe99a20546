"""Finds orphaned runs: runs in progress that the operator has submitted and that no MLJob follows
(:func:`follows`).

A run is orphaned in two cases:

- A submission took effect after the operator had stopped waiting for the answer, and meanwhile the
  MLJob was deleted or began another attempt.
- The operator stopped trying to cancel the run of a deleted MLJob, because
  ``spec.cancellation.timeoutSeconds`` had passed.

The operator finds orphaned runs in Airflow's list of active runs. The operator reads this list
periodically. Each reading is called a relist.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mljob_contract.run_id import RunId

from .mljob import attempts
from .mljob.identity import dag_run_id, pin
from .mljob.resource.job import Job
from .run.run_key import Key, RunKey, airflow_in_words
from .status.events import WARNING, KubeEvent

SUSPECTED_FOR = timedelta(seconds=60)
"""The minimum time for which relists must list a run without a known MLJob before the operator asks
the Kubernetes API server for the MLJob. In this time, the watch reports the MLJob of a new run.
"""


def note(key: Key) -> str:
    """Return the note that the operator writes on the run of an MLJob in Airflow. The operator
    recognises its runs by the run id and this note, because users of Airflow can give any id to a
    run.
    """
    return f"MLJob {key[0]}/{key[1]}"


def note_of_retained(key: Key) -> str:
    """Return the note of a run that continues after its MLJob was deleted with ``deletionPolicy:
    Retain``. Such a run is not orphaned.
    """
    return f"{note(key)}, deleted with deletionPolicy Retain"


def follows(job: Job, run: RunKey) -> bool:
    """Return whether an MLJob follows a run. An MLJob follows these runs:

    - If the MLJob has no attempt yet: each run whose id contains the hash of the text that
      :func:`.pin` returns.
    - Otherwise: the run of the newest attempt, and the run of each attempt in ``status.history``
      that had a run. Somebody may have cleared such an earlier run in Airflow.

    The name of the AirflowInstance is not compared, because two AirflowInstances may have the same
    Airflow.
    """
    attempt = attempts.current(job.status)
    if attempt is None:
        parsed = RunId.parse(run.run_id)
        return parsed is not None and parsed.digest == dag_run_id(parsed.prefix, *job.key, pin(job)).digest
    if (run.dag_id, run.run_id) == (attempt.dag_id, attempt.run_id):
        return True
    # If Airflow had no run when the attempt ended, a run that is there now was submitted late, and
    # the MLJob doesn't follow it.
    return any(entry.dag_run_id == run.run_id and attempts.had_run(entry) for entry in job.status.history or ())


def orphan_event(run: RunKey, key: Key, *, cancelled: bool) -> KubeEvent:
    """Return the Event that reports an orphaned run.

    Args:
        run: The orphaned run.
        key: The namespace and name of the MLJob for which the run was submitted.
        cancelled: Whether the operator cancels the run. Otherwise the Event says how to cancel the
            run.
    """
    remedy = (
        "The operator cancels it."
        if cancelled
        else "Cancel it in Airflow, or set operator.orphanedRuns to Cancel in the chart's values so that the operator cancels orphaned runs."
    )
    return KubeEvent(
        WARNING,
        "OrphanedRun",
        f"Run {run.run_id} of DAG {run.dag_id} is in progress in {airflow_in_words(run.airflow)}, and no MLJob follows it: MLJob {key[0]}/{key[1]} was deleted or has another run. "
        f"The submission reached Airflow late, or the operator gave up cancelling the run. {remedy}",
    )


@dataclass(slots=True)
class Suspects:
    """The runs of one Airflow that may be orphaned.

    Attributes:
        since: The start of each run's waiting time. After ``SUSPECTED_FOR`` (60 seconds) the caller
            looks up the run's MLJob in the Kubernetes API server.
        orphaned: The runs that no MLJob follows, according to the Kubernetes API server. The caller
            adds these runs.
        cancelled_at: When the operator last tried to cancel each orphaned run.
    """

    since: dict[RunKey, datetime] = field(default_factory=dict)
    orphaned: set[RunKey] = field(default_factory=set)
    cancelled_at: dict[RunKey, datetime] = field(default_factory=dict)

    def update(self, runs: Collection[RunKey], at: datetime) -> list[RunKey]:
        """Replace the suspects by ``runs``. A run that was a suspect before keeps its time in
        :attr:`since`. A new suspect has the time ``at``.

        Args:
            runs: The runs in a relist (a list of active runs) that no known MLJob follows.
            at: The time of the relist.

        Returns:
            list: The runs that have been suspects for at least ``SUSPECTED_FOR`` and are not in
                :attr:`orphaned`. The caller must look up the MLJobs of these runs in the Kubernetes
                API server. The run with the earliest time in :attr:`since` comes first.
        """
        self.since = {run: self.since.get(run, at) for run in runs}
        self.orphaned &= self.since.keys()
        self.cancelled_at = {
            run: cancelled_at for run, cancelled_at in self.cancelled_at.items() if run in self.orphaned
        }
        due = [run for run, since in self.since.items() if at - since >= SUSPECTED_FOR and run not in self.orphaned]
        return sorted(due, key=lambda run: self.since[run])

    def next_to_cancel(self, count: int, at: datetime) -> list[RunKey]:
        """Return at most ``count`` orphaned runs to cancel now, and set their ``cancelled_at`` to
        ``at``. Runs that the operator has not tried to cancel yet come first.
        """
        found = sorted(self.orphaned, key=lambda run: (run in self.cancelled_at, self.cancelled_at.get(run, at), run))[
            :count
        ]
        self.cancelled_at |= dict.fromkeys(found, at)
        return found

    def mark_followed(self, run: RunKey, at: datetime) -> None:
        """Record that an MLJob follows a run at the time ``at``: remove the run from
        :attr:`orphaned`, and set its time in :attr:`since` to ``at``. The run stays in
        :attr:`since` until :meth:`update` removes the run.
        """
        self.orphaned.discard(run)
        self.since[run] = at
