"""What is done in Airflow for an MLJob: the protocol of :mod:`.run_actions` and :mod:`.backfill_actions`, and what both need for an action."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from ...core.mljob.decisions import ClearFailed, Pause, Submit
from ...core.mljob.job import Job
from ...core.mljob.state import State
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import TransientState
from ...core.run.observed_run import ObservedRun
from ...core.run.outputs import Outputs
from ...errors import Refused
from ...logs import redacted_logger
from ...ports import Airflows, DagRuns, JobStore, User

log = redacted_logger(__name__)

LATEST_FOR = 2.0
"""Seconds for which a version that the API server has confirmed is taken for the latest. A submission that is sent by then has arrived, or never will,
``UNKNOWN_FOR`` after another process has changed the MLJob."""


class Turn:
    """One action for one MLJob.

    Args:
        known: What is known before the action.
        state: The state that the action was decided on.
        jobs: The Kubernetes API.
    """

    def __init__(self, known: TrackedJob, state: State, airflows: Airflows, jobs: JobStore) -> None:
        self._known = known
        self.state = state
        self._airflows = airflows
        self._jobs = jobs

    @property
    def job(self) -> Job:
        """The MLJob."""
        return self._known.job

    @property
    def observed_run(self) -> ObservedRun:
        """What is known of its run."""
        return self._known.observed_run

    @property
    def transient(self) -> TransientState:
        """What was tried for its attempt."""
        return self._known.transient

    @property
    def dag_runs(self) -> DagRuns:
        """Those of the Airflow that has the attempt's run, with the credentials of the access rule that admits the MLJob."""
        return dag_runs_of(self.state, self._airflows)

    @property
    def operators_dag_runs(self) -> DagRuns:
        """The same with the Airflow's own credentials: the cancellation DAG acts on runs of all tenants, so no tenant's user needs a right to it."""
        cancelling = self.state.cancellation.reason is not None
        return self._airflows.dag_runs(self.state.run.airflow, cancelling=cancelling)

    def learned(
        self,
        *,
        observed_run: ObservedRun | None = None,
        transient: TransientState | None = None,
        outputs: Outputs | None = None,
    ) -> TrackedJob:
        """What is known after the action; what is not given stays."""
        known = self._known
        return replace(
            known,
            observed_run=observed_run if observed_run is not None else known.observed_run,
            transient=transient if transient is not None else known.transient,
            outputs=outputs if outputs is not None else known.outputs,
        )

    def written(self, job: Job, sent_at: float, transient: TransientState) -> TrackedJob:
        """What is known after the MLJob itself was written."""
        return replace(self._known, job=job, transient=transient, confirmed_at=sent_at)

    def changed(self, job: Job) -> TrackedJob:
        """What is known after the MLJob's metadata was written."""
        return replace(self._known, job=job)

    def begun(self, observed_run: ObservedRun, transient: TransientState) -> TrackedJob:
        """What is known of an attempt with a run of its own."""
        return replace(self._known, observed_run=observed_run, transient=transient, outputs=None)

    async def confirm(self) -> None:
        """Make sure that this is the MLJob's latest version, before anything is changed in Airflow for it: a list or a watch may be behind, and another process
        may have gone on. A patch that changes nothing asks the API server, which compares versions first: where it answers that the stored object is
        invalid, this is the latest version.

        Raises:
            Conflict: There is a later version.
            Gone: The MLJob is not there any more.
        """
        sent_at = asyncio.get_running_loop().time()
        if sent_at - self._known.confirmed_at <= LATEST_FOR:
            return
        try:
            latest = await self._jobs.write_status(self.job, {})
        except Refused:
            latest = self.job
        self._known = replace(self._known, job=latest, confirmed_at=sent_at)

    def log(self, level: int, message: str, *args: object) -> None:
        """Log with the names of the MLJob and its run."""
        log_of(self.state, level, message, *args)


class Actions(Protocol):
    """What is done differently for a single run and for a backfill.

    All raise ``AirflowError`` where Airflow can't or won't, and ``Conflict`` where the MLJob has changed.
    """

    async def submit(self, turn: Turn, action: Submit) -> TrackedJob:
        """Start the run, or create the backfill."""
        ...

    async def clear_failed(self, turn: Turn, action: ClearFailed) -> TrackedJob:
        """Have what failed run again."""
        ...

    async def look_up(self, turn: Turn) -> TrackedJob:
        """Ask for the state."""
        ...

    async def list_tasks(self, turn: Turn) -> TrackedJob:
        """Ask for the state and for all parts; after the end, for outputs too."""
        ...

    async def cancel(self, turn: Turn) -> TrackedJob:
        """End everything through Airflow's REST API."""
        ...

    async def pause(self, turn: Turn, action: Pause) -> TrackedJob:
        """Let no further run start, or let them start again."""
        ...


def dag_runs_of(state: State, airflows: Airflows) -> DagRuns:
    """The dag runs of the Airflow that has the attempt's run, as the MLJob may use them."""
    cancelling = state.cancellation.reason is not None
    return airflows.dag_runs(state.run.airflow, user_of(state), cancelling=cancelling)


def user_of(state: State) -> User:
    """Whose access rule admits the MLJob."""
    return User(state.job.namespace, state.run.dag_id)


def log_of(state: State, level: int, message: str, *args: object) -> None:
    """Log with the names of the MLJob and its run."""
    job = state.job
    log.log(level, message, *args, extra={"namespace": job.namespace, "job": job.name, "run_id": state.run.run_id})
