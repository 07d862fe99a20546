"""The protocol of an MLJob's actions in Airflow (:class:`Actions`), and the context of an action
(:class:`ActionContext`).

:mod:`.run_actions` implements the protocol for single runs, :mod:`.backfill_actions` for backfills.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from ...core.mljob.actions import ClearFailed, Pause, Submit
from ...core.mljob.classification.state import State
from ...core.mljob.resource.job import Job
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import TransientState
from ...core.run.observed_run import ObservedRun
from ...core.run.outputs import Outputs
from ...errors import Refused
from ...logs import redacted_logger
from ...ports import Airflows, DagRuns, JobStore, User

log = redacted_logger(__name__)

UNKNOWN_FOR = timedelta(seconds=30)
"""The time for which a submission that got no answer may still create a run. After this time,
Airflow's API server has created the run or has given up the request.
"""
LATEST_FOR = 2.0
"""Seconds for which a version of an MLJob counts as the latest after the Kubernetes API has
confirmed this. Within this time, this process may send a request to Airflow although another
process has changed the MLJob. So the other process waits for ``UNKNOWN_FOR`` (30 s) after its
change. After this wait, the request of this process has arrived at Airflow or is lost.
"""


UntilDeleted = Callable[[], AbstractAsyncContextManager[None]]
"""The type of :attr:`ActionContext.until_deleted`."""


class ActionContext:
    """What an action for one MLJob needs.

    Args:
        tracked: What the operator knows of the MLJob before the action.
        state: The state from which the operator has chosen the action.
        airflows: Access to all Airflows.
        jobs: Access to the MLJobs in the Kubernetes API.
        until_deleted: Returns the context manager :attr:`until_deleted`.
    """

    def __init__(
        self, tracked: TrackedJob, state: State, airflows: Airflows, jobs: JobStore, until_deleted: UntilDeleted
    ) -> None:
        self.until_deleted = until_deleted
        """Returns an asynchronous context manager for requests that a deleted MLJob does not need.
        The block ends with a ``Conflict`` as soon as somebody deletes the MLJob
        (:meth:`.WorkerState.until_deleted`).
        """
        self._tracked = tracked
        self.state = state
        self._airflows = airflows
        self._jobs = jobs

    @property
    def job(self) -> Job:
        """The MLJob."""
        return self._tracked.job

    @property
    def observed_run(self) -> ObservedRun:
        """The observed state of the MLJob's run."""
        return self._tracked.observed_run

    @property
    def transient(self) -> TransientState:
        """The facts about the MLJob's attempt that are only in the memory of this process, for
        example failed requests.
        """
        return self._tracked.transient

    @property
    def dag_runs(self) -> DagRuns:
        """The :class:`.DagRuns` object for the attempt's Airflow. Requests use the credentials of
        the MLJob's access rule. If the rule has no credentials, requests use the Airflow's own
        credentials.
        """
        return dag_runs_of(self.state, self._airflows)

    @property
    def next_dag_runs(self) -> DagRuns:
        """The :class:`.DagRuns` object for the Airflow of the next attempt, which may be another
        Airflow than that of the newest attempt. For the credentials, see :attr:`dag_runs`.
        """
        return self._airflows.dag_runs(self.state.inputs.first_run.airflow, self.next_user, cancelling=False)

    @property
    def next_user(self) -> User:
        """The user of the requests to :attr:`next_dag_runs`."""
        return User(self.job.namespace, self.state.inputs.first_run.dag_id)

    @property
    def operators_dag_runs(self) -> DagRuns:
        """The :class:`.DagRuns` object for the attempt's Airflow, with the Airflow's own
        credentials. Requests about the cancellation DAG use these credentials, so that tenants need
        no permission for the cancellation DAG.
        """
        cancelling = self.state.cancellation.reason is not None
        return self._airflows.dag_runs(self.state.run.airflow, cancelling=cancelling)

    def with_result(
        self,
        *,
        observed_run: ObservedRun | None = None,
        transient: TransientState | None = None,
        outputs: Outputs | None = None,
    ) -> TrackedJob:
        """Return the :class:`.TrackedJob` after the action. An argument that is None leaves the
        earlier value unchanged.
        """
        tracked = self._tracked
        return replace(
            tracked,
            observed_run=observed_run if observed_run is not None else tracked.observed_run,
            transient=transient if transient is not None else tracked.transient,
            outputs=outputs if outputs is not None else tracked.outputs,
        )

    def with_status(self, job: Job, sent_at: float, transient: TransientState) -> TrackedJob:
        """Return the :class:`.TrackedJob` after an action has written the MLJob's status.

        Args:
            job: The version of the MLJob in the answer to the write.
            sent_at: When the request was sent, in seconds of the event loop's clock.
            transient: The :class:`.TransientState` after the action.
        """
        return replace(self._tracked, job=job, transient=transient, confirmed_at=sent_at)

    def with_metadata(self, job: Job) -> TrackedJob:
        """Return the :class:`.TrackedJob` after an action has written the MLJob's metadata. ``job``
        is the version of the MLJob in the answer to the write.
        """
        return replace(self._tracked, job=job)

    def with_new_run(self, observed_run: ObservedRun, transient: TransientState) -> TrackedJob:
        """Return the :class:`.TrackedJob` after an action has begun an attempt with a new run. The
        TrackedJob has no outputs yet.
        """
        return replace(self._tracked, observed_run=observed_run, transient=transient, outputs=None)

    async def confirm(self) -> None:
        """Check that the Kubernetes API has no later version of the MLJob than :attr:`job`. Actions
        call this method before they change something in Airflow. For ``LATEST_FOR`` (2 seconds)
        after a successful check or a write of the status, the method does not check again.

        Raises:
            Conflict: A later version exists.
            Gone: The MLJob does not exist any more.
            StoreError: The Kubernetes API fails.
        """
        sent_at = asyncio.get_running_loop().time()
        if sent_at - self._tracked.confirmed_at <= LATEST_FOR:
            return
        try:
            # This patch changes nothing, but fails with a Conflict if a later version exists.
            latest = await self._jobs.write_status(self.job, {})
        except Refused:
            # The server compares the versions before it refuses an invalid object (422).
            latest = self.job
        self._tracked = replace(self._tracked, job=latest, confirmed_at=sent_at)

    def log(self, level: int, message: str, *args: object) -> None:
        """Log a message with the MLJob's namespace, name and run id."""
        log_of(self.state, level, message, *args)


class Actions(Protocol):
    """The actions that differ between a single run and a backfill. Each method returns the
    :class:`.TrackedJob` after the action.

    The methods raise ``AirflowError`` if Airflow fails or refuses a request, and ``StoreError`` if
    the Kubernetes API fails. Methods that change something in Airflow raise ``Conflict`` if the
    MLJob has changed. Methods that build a conf raise ``ReferenceMissing`` if an object that
    ``spec.confFrom`` names is missing.
    """

    async def submit(self, context: ActionContext, action: Submit) -> TrackedJob:
        """Start the run, or create the backfill."""
        ...

    async def clear_failed(self, context: ActionContext, action: ClearFailed) -> TrackedJob:
        """Clear the failed tasks of the run, or create a backfill that repeats the failed runs of
        the previous attempt's backfill.
        """
        ...

    async def look_up(self, context: ActionContext) -> TrackedJob:
        """Request the state of the single run from Airflow, or of the backfill and its runs."""
        ...

    async def list_tasks(self, context: ActionContext) -> TrackedJob:
        """Request the state of a run and the run's tasks, or of a backfill and the backfill's runs.
        If a single run has ended, also request the run's outputs.
        """
        ...

    async def cancel(self, context: ActionContext) -> TrackedJob:
        """Cancel the run, or the backfill and its active runs, through Airflow's REST API."""
        ...

    async def pause(self, context: ActionContext, action: Pause) -> TrackedJob:
        """Pause the backfill if ``action.paused`` is true, else resume the backfill. A paused
        backfill starts no more runs. For a single run, do nothing.
        """
        ...


def dag_runs_of(state: State, airflows: Airflows) -> DagRuns:
    """Return the :class:`.DagRuns` object for the attempt's Airflow. Requests use the credentials
    of the MLJob's access rule. If the rule has no credentials, requests use the Airflow's own
    credentials.

    Raises:
        AirflowError: The attempt's Airflow does not exist any more or is not ready, or the
            credentials can't be used.
    """
    cancelling = state.cancellation.reason is not None
    return airflows.dag_runs(state.run.airflow, user_of(state), cancelling=cancelling)


def user_of(state: State) -> User:
    """Return the :class:`.User`: the MLJob's namespace and the id of the attempt's DAG."""
    return User(state.job.namespace, state.run.dag_id)


def log_of(state: State, level: int, message: str, *args: object) -> None:
    """Log a message with the MLJob's namespace, name and run id."""
    job = state.job
    log.log(level, message, *args, extra={"namespace": job.namespace, "job": job.name, "run_id": state.run.run_id})
