"""Finds and reports orphaned runs. Cancels these runs if ``MLJOB_ORPHANED_RUNS`` is ``Cancel``.

An orphaned run is a run that the operator has submitted and that is in progress in Airflow,
although the run belongs to no attempt of an existing MLJob (:mod:`.core.orphans`). A run that
continues because of ``deletionPolicy: Retain`` is not orphaned.

Each time the operator lists an Airflow's active runs, this controller looks for orphaned runs in
the list.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from mljob_contract.run_id import RunId

from ..core import orphans
from ..core.orphans import Suspects
from ..core.run.run_key import Key, RunKey
from ..errors import AirflowError, OperatorError, StoreError
from ..ports import Airflows, JobStore, Meter, OperatorStore, RunChange

log = logging.getLogger(__name__)

MAX_LOOK_UPS = 20
"""The maximum number of suspected runs that are checked per relist, with one request to the
Kubernetes API server for each. Each cancellation adds one more request.
"""
TIMEOUT_SECONDS = 10.0
"""The longest time in seconds for the check of a relist. The next relist waits for this check.
"""
MAX_CANCELLATIONS = 5
"""The maximum number of orphaned runs that are cancelled per relist. The limit keeps Airflow free
for the cancellations that users ask for."""


class Orphans:
    """Finds, reports and cancels orphaned runs in all Airflows. An orphaned run is a run that the
    operator has submitted and that is in progress, although the run belongs to no attempt of an
    existing MLJob.

    Args:
        airflows: Access to the Airflows, to cancel runs.
        jobs: Reads MLJobs from the Kubernetes API.
        operator: Records the Kubernetes Events about orphaned runs.
        prefix: The prefix of the operator's dag run ids.
        namespaces: The watched namespaces. Empty means all namespaces. Runs of other namespaces
            belong to another operator.
        cancel: Whether to cancel orphaned runs. If false, orphaned runs are only reported.
    """

    def __init__(
        self,
        airflows: Airflows,
        jobs: JobStore,
        operator: OperatorStore,
        meter: Meter,
        *,
        prefix: str,
        namespaces: Collection[str] = (),
        cancel: bool = False,
    ) -> None:
        self._airflows = airflows
        self._jobs = jobs
        self._operator = operator
        self._meter = meter
        self._prefix = prefix
        self._namespaces = frozenset(namespaces)
        self._cancel = cancel
        self._suspects: defaultdict[str, Suspects] = defaultdict(Suspects)

    async def relist(
        self, airflow: str, at: datetime, active: Sequence[RunChange], followed: Collection[RunKey]
    ) -> None:
        """Look for orphaned runs in a relist, which is a new list of an Airflow's active runs.
        Report the orphaned runs that earlier calls have not reported. If the argument ``cancel`` of
        :class:`Orphans` is true, try to cancel at most ``MAX_CANCELLATIONS`` (5) orphaned runs.

        A run of the operator is suspected if ``followed`` lacks the run. A run is orphaned if two
        conditions are met: the run has been suspected in each relist for at least ``SUSPECTED_FOR``
        (60 seconds), and the run belongs to no MLJob in the Kubernetes API.

        A call looks up the MLJobs of at most ``MAX_LOOK_UPS`` (20) suspected runs. Before each
        cancellation, the call looks up the run's MLJob again. The call ends early after
        ``TIMEOUT_SECONDS`` (10), or when the Kubernetes API fails. The next call checks the
        remaining runs.

        Args:
            airflow: The Airflow's name.
            at: The time of the request for the list.
            active: All queued and running runs with the operator's prefix.
            followed: The newest attempt's run of each MLJob that this process knows.
        """
        suspects = self._suspects[airflow]
        keys = {
            RunKey(airflow, change.dag_id, change.run_id): key
            for change in active
            if (key := self._mljob_of(change)) is not None
        }
        due = suspects.update(keys.keys() - set(followed), at)[:MAX_LOOK_UPS]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for run in due:
                    if await self._is_orphaned(run, keys[run], at):
                        suspects.orphaned.add(run)
                        await self._report(run, keys[run])
                if self._cancel:
                    for run in suspects.next_to_cancel(MAX_CANCELLATIONS, at):
                        await self._cancel_run(run, keys[run], at)
        except (StoreError, TimeoutError) as error:
            log.debug("the remaining orphaned runs are checked in the next relist: %s", error or "out of time")
        self._meter.orphaned_runs(airflow, len(suspects.orphaned))

    def _mljob_of(self, change: RunChange) -> Key | None:
        """Return the key of the MLJob for which this operator has submitted the run, or None. Both
        the run id and the run's note must name the MLJob, because users of Airflow can give any id
        to a run.
        """
        run = RunId.parse(change.run_id)
        if run is None or run.prefix != self._prefix or (self._namespaces and run.namespace not in self._namespaces):
            return None
        key = run.namespace, run.name
        return key if change.note == orphans.note(key) else None

    async def _is_orphaned(self, run: RunKey, key: Key, at: datetime) -> bool:
        """Return whether the run belongs to no MLJob in the Kubernetes API. If the run belongs to
        an MLJob, the run is not checked again within ``SUSPECTED_FOR`` (60 seconds) after ``at``.
        """
        # An MLJob whose labels were changed belongs to another operator, which follows the run.
        job = await self._jobs.find(key)
        if job is None or not orphans.follows(job, run):
            return True
        self._suspects[run.airflow].mark_followed(run, at)
        return False

    async def _report(self, run: RunKey, key: Key) -> None:
        event = orphans.orphan_event(run, key, cancelled=self._cancel)
        log.warning("%s", event.message, extra={"namespace": key[0], "job": key[1], "run_id": run.run_id})
        try:
            await self._operator.record(event)
        except OperatorError as error:
            log.warning("event %s was not recorded: %s", event.reason, error)

    async def _cancel_run(self, run: RunKey, key: Key, at: datetime) -> None:
        if not await self._is_orphaned(run, key, at):
            return
        try:
            await self._airflows.dag_runs(run.airflow, cancelling=True).cancel(run.dag_id, run.run_id)
        except AirflowError as error:
            log.warning("orphaned run %s was not cancelled: %s", run.run_id, error)
        else:
            log.info("cancelled orphaned run %s of DAG %s", run.run_id, run.dag_id)
