"""Finds the run of an MLJob, and checks that the run belongs to the MLJob.

A user with write access to the status of an MLJob could write the id of any run into this status.
So mljob-api shows a run only if the run id contains the MLJob's namespace and name, and an access
rule lets the namespace run the DAG.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from mljob_contract.mljob import MLJobStatus
from mljob_contract.run_id import RunId

from ..controllers.mljob.hidden_texts import hidden_texts
from ..core.conf.conf import has_secrets
from ..core.conf.redaction import HIDDEN, NOTHING_HIDDEN, Redaction
from ..core.frozen import frozen
from ..core.mljob.attempts import current, had_run
from ..core.mljob.identity import runs_current_spec
from ..core.mljob.resource.job import Job
from ..core.run.run_key import SETTINGS_AIRFLOW, RunKey
from ..core.run.states import TERMINAL_PHASES
from ..errors import AirflowUnauthorized, ValidationFailed
from ..ports import DagRuns, JobStore
from .airflows import ApiAirflows
from .errors import Refusal

BEFORE = timedelta(minutes=1)
"""The maximum time from the first event of a run to the first known time of the run. The clocks of
the producers, the brokers and Airflow differ.
"""


class NoRunYet(Refusal):
    """The MLJob has no run yet, or Airflow does not have the run yet."""


@frozen
class ShownRun:
    """The run that a client asks for.

    Attributes:
        job: The MLJob.
        key: The Airflow, the DAG and the run id.
        since: A time before the first event of the run. Events are read from this time on.
        is_current: Whether the run belongs to the newest attempt.
        attempt: The number of the run's attempt.
    """

    job: Job
    key: RunKey
    since: datetime
    is_current: bool
    attempt: int


class Runs:
    """Finds the run of an MLJob.

    Args:
        jobs: Reads MLJobs and their ConfigMaps.
        airflows: The Airflows from which mljob-api reads.
        prefix: The prefix of the operator's dag run ids.
    """

    def __init__(self, jobs: JobStore, airflows: ApiAirflows, *, prefix: str) -> None:
        self._jobs = jobs
        self._airflows = airflows
        self._prefix = prefix

    async def find(self, namespace: str, name: str, attempt: int | None) -> ShownRun:
        """Return the run of an attempt of an MLJob.

        Args:
            namespace: The namespace of the MLJob.
            name: The name of the MLJob.
            attempt: The number of the attempt, or None for the newest attempt.

        Raises:
            NoRunYet: The MLJob has no run yet.
            Refusal: The MLJob or the attempt does not exist. Or the MLJob is a backfill, or has
                ended without a run. Or the run belongs to another MLJob or to another operator.
            StoreError: The Kubernetes API fails.
        """
        job = await self._jobs.get((namespace, name))
        if job is None:
            raise Refusal(404, f"MLJob {name} does not exist in namespace {namespace}.")
        if job.is_backfill:
            raise Refusal(
                400,
                f"MLJob {name} is a backfill, which has many runs. The page status.dagRunUrl of the MLJob shows them in Airflow.",
            )
        number, run_id, airflow = self._attempt(job, attempt)
        status, found = job.status, RunId.parse(run_id)
        if found is None or (found.namespace, found.name) != (namespace, name):
            raise Refusal(403, f"The run in the status of MLJob {name} is not a run of this MLJob.")
        if found.prefix != self._prefix:
            raise Refusal(
                403,
                f"The run in the status of MLJob {name} has the prefix {found.prefix!r}, so it is another operator's. "
                f"This mljob-api shows runs with the prefix {self._prefix!r}.",
            )
        assert status.dag_id is not None, "an MLJob with an attempt has a DAG"
        key = RunKey(airflow, status.dag_id, run_id)
        times = [at for at in (job.created_at, *_times(status, run_id)) if at is not None]
        since = min(times, default=datetime.now(UTC)) - BEFORE
        return ShownRun(job, key, since, is_current=run_id == status.dag_run_id, attempt=number)

    async def still_there(self, run: ShownRun) -> bool:
        """Return whether the MLJob of the run still exists. A new MLJob with the same name does not
        count.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        job = await self._jobs.get(run.job.key)
        return job is not None and job.uid == run.job.uid

    async def dag_runs(self, run: ShownRun) -> DagRuns:
        """Return a :class:`DagRuns`, which sends requests to the Airflow that has the run.

        Callers must not store the DagRuns for later requests, because access rules and credentials
        may change.

        Raises:
            Refusal: No access rule lets the namespace run the DAG, or the Airflow does not exist.
            OperatorError: The Kubernetes API fails, or the Airflow can't be used.
        """
        return await self._airflows.dag_runs(run.job.namespace, run.key.airflow, run.key.dag_id)

    async def redaction(self, run: ShownRun) -> Redaction:
        """Return a :class:`Redaction`, which hides secret values in texts that the run's tasks
        wrote.

        If the run id proves that the run was started with the MLJob's current spec, and this spec
        names no Secret, nothing is hidden. Otherwise, ``spec.conf`` is merged with the current
        values of the ConfigMaps and of other MLJobs' outputs that ``spec.confFrom`` names. A value
        of the run's conf is hidden unless its key has the same value in the merged conf.

        Raises:
            Refusal: No access rule lets the namespace run the DAG, Airflow does not have the run,
                or Airflow does not show the run's conf.
            OperatorError: Airflow or the Kubernetes API fails.
        """
        job = run.job
        has_spec = runs_current_spec(job, run.key.run_id) and job.parsed.problem is None
        if has_spec and not has_secrets(job.spec):
            return NOTHING_HIDDEN
        try:
            conf = (await (await self.dag_runs(run)).inputs(run.key.dag_id, run.key.run_id)).conf
        except ValidationFailed:
            raise no_run(run) from None
        except AirflowUnauthorized:
            self._airflows.refused(run.key.airflow)
            raise
        hidden = await hidden_texts(self._jobs, job, conf, reads_secrets=False)
        if HIDDEN in hidden:
            raise Refusal(
                403,
                f"What the tasks of run {run.key.run_id} have written can't be shown: it may quote a Secret of spec.confFrom, "
                "and this Airflow does not say which values the run has.",
            )
        return Redaction(frozenset(hidden))

    @staticmethod
    def _attempt(job: Job, number: int | None) -> tuple[int, str, str]:
        """Return the number, the run id and the Airflow's name of the attempt with the number
        ``number``, or of the newest attempt if ``number`` is None.

        Raises:
            NoRunYet: The MLJob has no run yet.
            Refusal: The MLJob or the attempt has ended without a run, or the MLJob's status lacks the
                attempt.
        """
        newest = current(job.status)
        if newest is None:
            phase = f"it is {job.status.phase}" if job.status.phase else "the operator has not read it yet"
            why = f": {job.status.message}" if job.status.message else ""
            kind = Refusal if job.status.phase in TERMINAL_PHASES else NoRunYet
            raise kind(404, f"MLJob {job.name} has no run, {phase}{why}")
        if number in (None, newest.number):
            return newest.number, newest.run_id, newest.airflow
        for entry in job.status.history or ():
            if entry.attempt == number and not had_run(entry):
                raise Refusal(404, f"Attempt {number} of MLJob {job.name} ended before its run began: {entry.message}")
            if entry.attempt == number:
                return entry.attempt, entry.dag_run_id, entry.airflow_instance or SETTINGS_AIRFLOW
        known = sorted({newest.number, *(entry.attempt for entry in job.status.history or ())})
        raise Refusal(
            404, f"MLJob {job.name} has no attempt {number} in its status. It has {', '.join(map(str, known))}."
        )


def no_run(run: ShownRun) -> Refusal:
    """Return the error for a run that Airflow does not have: a :class:`NoRunYet` if Airflow may
    still get the run, and another :class:`Refusal` otherwise.
    """
    message = f"Airflow has no run {run.key.run_id} of DAG {run.key.dag_id!r}. It is not there yet, or was deleted in Airflow."
    may_come = run.is_current and run.job.status.phase not in TERMINAL_PHASES
    return (NoRunYet if may_come else Refusal)(404, message)


def _times(status: MLJobStatus, run_id: str) -> Iterator[datetime | None]:
    if status.dag_run_id == run_id:
        yield from (status.submit_time, status.start_time)
    for entry in status.history or ():
        if entry.dag_run_id == run_id:
            yield entry.start_time
