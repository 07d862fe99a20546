"""What a decision means for an MLJob that is a backfill: the actions that :mod:`.reconciler` carries out otherwise for one run.

Airflow gives a backfill its id, so nothing can be computed that makes creating twice the same as creating once. Instead the backfill says in its
conf whose it is: one that does is looked for before another is made, and a creation without an answer is waited for (:mod:`.core.decisions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mljob_contract.backfill_marker import Marker

from .confs import Confs
from .core.backfill import Backfill, Order, Survey
from .core.decisions import LOOK_UP_EVERY, CancelDirectly, ClearFailed, ListTasks, LookUpRun, Pause, Submit
from .core.effort import Effort
from .core.ledger import Ledger, missed, survey
from .core.mljob.spec_change import SpecChange
from .core.mljob.state import State
from .errors import ValidationFailed, after_effect
from .ports import Clock, DagRuns

Action = Submit | ClearFailed | LookUpRun | ListTasks | Pause | CancelDirectly
"""What is done in another way for a backfill. All else is the same for every MLJob, and is not for here."""

Confirm = Callable[[], Awaitable[None]]
"""Makes sure that this is the MLJob's latest version, before anything is changed in Airflow."""
Step = tuple[Ledger, Effort]
"""What is known, and what was tried, after an action."""


async def act(action: Action, s: State, dag_runs: DagRuns, confs: Confs, confirm: Confirm, clock: Clock) -> Step:
    """Carry an action out.

    Raises:
        AirflowError: Airflow can't, or won't.
        Conflict: This is not the MLJob's latest version.
    """
    match action:
        case Submit(conf_of):
            order = await _order(s, dag_runs, confs, conf_of)
            await confirm()
            return await _create(s, dag_runs, order)

        case ClearFailed():
            order = await _order(s, dag_runs, confs, s.run.run_id)
            await confirm()
            return await _create(s, dag_runs, order.of_failed())

        case LookUpRun() | ListTasks():
            effort = replace(s.effort, looked_up_at=s.now, doubt=False)
            found = await dag_runs.backfills.find(s.run.dag_id, s.run.run_id, s.current.number)
            if found is None:
                return missed(s.ledger, s.now, effort.unknown_until), effort
            ledger = await _survey(s, dag_runs, found)
            return ledger, replace(effort, over_since=effort.over_since or clock()) if ledger.over else effort

        case Pause(paused):
            course = s.ledger.course
            assert course is not None
            await confirm()
            await dag_runs.backfills.pause(course.backfill.id, paused=paused)
            backfill = replace(course.backfill, paused=paused)
            effort = replace(s.effort, resumed=None if paused else s.job.generation)
            return replace(s.ledger, course=replace(course, backfill=backfill)), effort

        case CancelDirectly():
            await confirm()
            await _cancel(s, dag_runs)
            look_at_once = s.now - LOOK_UP_EVERY
            return s.ledger, replace(s.effort, cancelled_directly_at=s.now, looked_up_at=look_at_once)


async def _order(s: State, dag_runs: DagRuns, confs: Confs, conf_of: str | None) -> Order:
    """What to ask for: what the spec says, or what an earlier attempt has asked for."""
    earlier = await dag_runs.backfills.find(s.run.dag_id, conf_of) if conf_of is not None else None
    if earlier is not None:
        await confs.reuse(s, earlier.conf)
        return Order.like(earlier, s.job.spec)
    if s.change is SpecChange.REFUSED:
        raise ValidationFailed(
            f"Airflow has no backfill of {conf_of} any more, so what it was asked for is not known, and runPolicy Once refuses the changed spec. "
            "Create an MLJob with another name."
        )
    return Order.of(s.job.spec, await confs.make(s, dag_runs))


async def _create(s: State, dag_runs: DagRuns, order: Order) -> Step:
    backfill = await dag_runs.backfills.create(s.run.dag_id, Marker(s.run.run_id, s.current.number), order)
    with after_effect():
        return await _survey(s, dag_runs, backfill), s.effort


async def _survey(s: State, dag_runs: DagRuns, backfill: Backfill) -> Ledger:
    members = await dag_runs.backfills.survey(backfill)
    others = await dag_runs.backfills.not_created(backfill, len(members))
    ledger = survey(s.ledger, Survey(backfill, members, others))
    if ledger.over and all(member.over for member in members):
        return survey(s.ledger, Survey(backfill, members, others, final=True))
    return ledger


async def _cancel(s: State, dag_runs: DagRuns) -> None:
    """Close the backfill, so that no other run of it starts, then end those that have."""
    found = await dag_runs.backfills.find(s.run.dag_id, s.run.run_id, s.current.number)
    if found is None:
        return
    await dag_runs.backfills.cancel(found.id)
    active = [member.run_id for member in await dag_runs.backfills.survey(found) if not member.over]
    await asyncio.gather(*(dag_runs.cancel(s.run.dag_id, run_id) for run_id in active))
