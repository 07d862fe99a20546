"""The actions in Airflow for an MLJob that is a backfill.

Airflow chooses the id of a backfill, so the operator can't compute the id. Instead, the operator
puts a marker with the MLJob's run id and attempt number into the backfill's conf. Before the
operator creates a backfill, the operator looks for this marker, so that no backfill is created
twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mljob_contract.backfill_marker import Marker

from ...core.mljob.actions import ClearFailed, Pause, Submit
from ...core.mljob.classification.spec_change import SpecChange
from ...core.mljob.decisions import LOOK_UP_EVERY
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.upstream import upstream_names
from ...core.run.backfill import Backfill, BackfillRequest, BackfillSnapshot
from ...core.run.observed_run import ObservedRun, observe_absence, observe_backfill
from ...errors import ValidationFailed, after_effect, before_effect
from ...ports import Clock
from .actions import ActionContext
from .confs import Confs


class BackfillActions:
    """Implements :class:`.Actions` for an MLJob that is a backfill.

    Args:
        confs: Builds the confs of the backfill's runs.
    """

    def __init__(self, confs: Confs, clock: Clock) -> None:
        self._confs = confs
        self._clock = clock

    async def submit(self, context: ActionContext, action: Submit) -> TrackedJob:
        """Create a backfill with the date range and the conf of the spec. If the action names an
        earlier backfill that Airflow still has, use the date range and the conf of the earlier
        backfill instead.
        """
        with before_effect():
            earlier = await self._earlier(context, action.conf_of)
            request, unknown_params = await self._request(context, earlier, action.conf_of)
        return await self._create(context, request, unknown_params)

    async def clear_failed(self, context: ActionContext, action: ClearFailed) -> TrackedJob:
        """Create a backfill that repeats only the failed runs of the previous attempt's backfill,
        and creates the runs that the previous attempt's backfill lacks.

        If Airflow no longer has the previous attempt's backfill, the date range and the conf come
        from the spec. If, in this case, the conf in the spec needs outputs of other MLJobs, the
        first call creates no backfill, and only records that the earlier conf is lost. The operator
        then checks the other MLJobs before it calls this method again.
        """
        run_id = context.state.run.run_id
        with before_effect():
            earlier = await self._earlier(context, run_id)
            if earlier is None and not context.transient.conf_lost and upstream_names(context.job.spec):
                return context.with_result(transient=replace(context.transient, conf_lost=True))
            request, unknown_params = await self._request(context, earlier, run_id)
        return await self._create(context, request.for_failed_runs(), unknown_params)

    async def look_up(self, context: ActionContext) -> TrackedJob:
        """Request the backfill and the backfill's runs from Airflow. It is no error if Airflow has
        no such backfill.
        """
        transient = replace(context.transient, looked_up_at=context.state.now, needs_look_up=False)
        found = await self._find(context)
        if found is None:
            observed_run = observe_absence(context.observed_run, context.state.now, transient.unknown_until)
            return context.with_result(observed_run=observed_run, transient=transient)
        observed_run = await self._observe(context, found)
        if observed_run.over:
            transient = replace(transient, over_since=transient.over_since or self._clock())
        return context.with_result(observed_run=observed_run, transient=transient)

    async def list_tasks(self, context: ActionContext) -> TrackedJob:
        """Do the same as :meth:`look_up`. The status of a backfill shows runs instead of tasks."""
        return await self.look_up(context)

    async def cancel(self, context: ActionContext) -> TrackedJob:
        """Cancel the backfill, so that no further run starts. Then cancel the backfill's active
        runs.
        """
        state = context.state
        await context.confirm()
        if (found := await self._find(context)) is not None:
            await context.dag_runs.backfills.cancel(found.id)
            active = [member.run_id for member in await context.dag_runs.backfills.list_runs(found) if not member.over]
            await asyncio.gather(*(context.dag_runs.cancel(state.run.dag_id, run_id) for run_id in active))
        looked_up_at = state.now - LOOK_UP_EVERY
        sent = replace(context.transient.cancel_requests, sent_at=state.now)
        transient = replace(context.transient, cancel_requests=sent, looked_up_at=looked_up_at)
        return context.with_result(transient=transient)

    async def pause(self, context: ActionContext, action: Pause) -> TrackedJob:
        """Pause or resume the backfill. Do nothing if the backfill was not found in Airflow yet."""
        observed_backfill = context.observed_run.observed_backfill
        if observed_backfill is None:
            return context.with_result()
        await context.confirm()
        await context.dag_runs.backfills.pause(observed_backfill.backfill.id, paused=action.paused)
        backfill = replace(observed_backfill.backfill, paused=action.paused)
        return context.with_result(
            observed_run=replace(context.observed_run, observed_backfill=replace(observed_backfill, backfill=backfill)),
            transient=replace(context.transient, resumed=None if action.paused else context.job.generation),
        )

    async def _find(self, context: ActionContext) -> Backfill | None:
        state = context.state
        return await context.dag_runs.backfills.find(state.run.dag_id, state.run.run_id, state.current.number)

    async def _earlier(self, context: ActionContext, conf_of: str | None) -> Backfill | None:
        """Return the newest backfill that the operator has created for the run id ``conf_of``.
        Return None if Airflow has no such backfill, or if ``conf_of`` is None.
        """
        if conf_of is None:
            return None
        return await context.dag_runs.backfills.find(context.state.run.dag_id, conf_of)

    async def _request(
        self, context: ActionContext, earlier: Backfill | None, conf_of: str | None
    ) -> tuple[BackfillRequest, str | None]:
        """Return the request that creates a backfill, and the warning about unknown conf keys
        (:class:`.BuiltConf`). If ``earlier`` is a backfill, the request repeats this backfill,
        with its range and conf, and the warning is None.
        """
        state = context.state
        if earlier is not None:
            await self._confs.reuse(state, earlier.conf)
            return BackfillRequest.repeating(earlier, context.job.spec), None
        if state.change is SpecChange.REFUSED:
            raise ValidationFailed(
                f"Airflow has no backfill of {conf_of} any more, so its range and conf are not known, and runPolicy Once refuses the changed spec. "
                "Create an MLJob with another name."
            )
        built = await self._confs.make(state, context.dag_runs)
        return BackfillRequest.of(context.job.spec, built.values), built.unknown_params

    async def _create(self, context: ActionContext, request: BackfillRequest, unknown_params: str | None) -> TrackedJob:
        state = context.state
        await context.confirm()
        marker = Marker(state.run.run_id, state.current.number)
        backfill = await context.dag_runs.backfills.create(state.run.dag_id, marker, request)
        with after_effect():
            return context.with_result(
                observed_run=await self._observe(context, backfill),
                transient=replace(context.transient, unknown_params=unknown_params),
            )

    async def _observe(self, context: ActionContext, backfill: Backfill) -> ObservedRun:
        backfills = context.dag_runs.backfills
        members = await backfills.list_runs(backfill)
        not_created = await backfills.not_created(backfill, len(members))
        observed_run = observe_backfill(context.observed_run, BackfillSnapshot(backfill, members, not_created))
        if observed_run.over and all(member.over for member in members):
            return observe_backfill(context.observed_run, BackfillSnapshot(backfill, members, not_created, final=True))
        return observed_run
