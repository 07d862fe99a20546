"""The actions in Airflow for an MLJob that is a backfill.

The creation of a backfill has to be idempotent. Airflow chooses the id of a backfill, so the
operator can't compute the id as it does for a single run. Instead, the operator puts a marker with
the MLJob's run id and attempt into the backfill's conf, and looks for a backfill with this marker
before it creates a backfill. If a creation gets no answer, the operator waits before the next try
(:mod:`...core.mljob.decisions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mljob_contract.backfill_marker import Marker

from ...core.mljob.actions import ClearFailed, Pause, Submit
from ...core.mljob.decisions import LOOK_UP_EVERY
from ...core.mljob.spec_change import SpecChange
from ...core.mljob.tracked import TrackedJob
from ...core.run.backfill import Backfill, BackfillRequest, BackfillSnapshot
from ...core.run.observed_run import ObservedRun, missed, survey
from ...errors import ValidationFailed, after_effect
from ...ports import Clock
from .actions import Turn
from .confs import Confs


class BackfillActions:
    """Actions on a backfill.

    Args:
        confs: Builds the confs of the backfill's runs.
    """

    def __init__(self, confs: Confs, clock: Clock) -> None:
        self._confs = confs
        self._clock = clock

    async def submit(self, turn: Turn, action: Submit) -> TrackedJob:
        """Create the backfill that the MLJob's spec asks for."""
        return await self._create(turn, await self._order(turn, action.conf_of))

    async def clear_failed(self, turn: Turn, action: ClearFailed) -> TrackedJob:
        """Create another backfill of the same range, in which Airflow repeats the failed runs."""
        order = await self._order(turn, turn.state.run.run_id)
        return await self._create(turn, order.of_failed())

    async def look_up(self, turn: Turn) -> TrackedJob:
        """Request the backfill and all of its runs from Airflow."""
        transient = replace(turn.transient, looked_up_at=turn.state.now, needs_look_up=False)
        found = await self._find(turn)
        if found is None:
            observed_run = missed(turn.observed_run, turn.state.now, transient.unknown_until)
            return turn.learned(observed_run=observed_run, transient=transient)
        observed_run = await self._survey(turn, found)
        if observed_run.over:
            transient = replace(transient, over_since=transient.over_since or self._clock())
        return turn.learned(observed_run=observed_run, transient=transient)

    async def list_tasks(self, turn: Turn) -> TrackedJob:
        """Request the backfill and all of its runs, as :meth:`look_up` does."""
        return await self.look_up(turn)

    async def cancel(self, turn: Turn) -> TrackedJob:
        """Close the backfill, so that no further run starts, then cancel its active runs."""
        state = turn.state
        await turn.confirm()
        if (found := await self._find(turn)) is not None:
            await turn.dag_runs.backfills.cancel(found.id)
            active = [member.run_id for member in await turn.dag_runs.backfills.survey(found) if not member.over]
            await asyncio.gather(*(turn.dag_runs.cancel(state.run.dag_id, run_id) for run_id in active))
        look_at_once = state.now - LOOK_UP_EVERY
        sent = replace(turn.transient.cancel_requests, sent_at=state.now)
        transient = replace(turn.transient, cancel_requests=sent, looked_up_at=look_at_once)
        return turn.learned(transient=transient)

    async def pause(self, turn: Turn, action: Pause) -> TrackedJob:
        """Pause or resume the backfill."""
        observed_backfill = turn.observed_run.observed_backfill
        if observed_backfill is None:
            return turn.learned()
        await turn.confirm()
        await turn.dag_runs.backfills.pause(observed_backfill.backfill.id, paused=action.paused)
        backfill = replace(observed_backfill.backfill, paused=action.paused)
        return turn.learned(
            observed_run=replace(turn.observed_run, observed_backfill=replace(observed_backfill, backfill=backfill)),
            transient=replace(turn.transient, resumed=None if action.paused else turn.job.generation),
        )

    async def _find(self, turn: Turn) -> Backfill | None:
        state = turn.state
        return await turn.dag_runs.backfills.find(state.run.dag_id, state.run.run_id, state.current.number)

    async def _order(self, turn: Turn, conf_of: str | None) -> BackfillRequest:
        """The request that creates the backfill.

        Args:
            turn: The context of the action.
            conf_of: The run id of an earlier attempt, whose range and conf are used again. None:
                the range and the conf come from the spec.

        Raises:
            ValidationFailed: The earlier backfill does not exist any more, and ``runPolicy: Once``
                forbids to use the changed spec.
        """
        state = turn.state
        if conf_of is not None:
            earlier = await turn.dag_runs.backfills.find(state.run.dag_id, conf_of)
            if earlier is not None:
                await self._confs.reuse(state, earlier.conf)
                return BackfillRequest.like(earlier, turn.job.spec)
        if state.change is SpecChange.REFUSED:
            raise ValidationFailed(
                f"Airflow has no backfill of {conf_of} any more, so its range and conf are not known, and runPolicy Once refuses the changed spec. "
                "Create an MLJob with another name."
            )
        conf: Mapping[str, Any] = await self._confs.make(state, turn.dag_runs)
        return BackfillRequest.of(turn.job.spec, conf)

    async def _create(self, turn: Turn, order: BackfillRequest) -> TrackedJob:
        state = turn.state
        await turn.confirm()
        marker = Marker(state.run.run_id, state.current.number)
        backfill = await turn.dag_runs.backfills.create(state.run.dag_id, marker, order)
        with after_effect():
            return turn.learned(observed_run=await self._survey(turn, backfill))

    async def _survey(self, turn: Turn, backfill: Backfill) -> ObservedRun:
        backfills = turn.dag_runs.backfills
        members = await backfills.survey(backfill)
        others = await backfills.not_created(backfill, len(members))
        observed_run = survey(turn.observed_run, BackfillSnapshot(backfill, members, others))
        if observed_run.over and all(member.over for member in members):
            return survey(turn.observed_run, BackfillSnapshot(backfill, members, others, final=True))
        return observed_run
